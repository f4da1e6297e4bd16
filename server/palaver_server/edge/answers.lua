-- Seven things that no setting of Envoy does.

-- A caller's request id goes into logs and answers as it is: one that could break either, or hide a text in them, gets
-- another in its place.
function envoy_on_request(handle)
  local headers = handle:headers()
  local id = headers:get("x-request-id")
  if id ~= nil and (#id > 128 or string.find(id, "[^%w._:/+=-]")) then
    headers:replace("x-request-id", "edge-" .. handle:timestampString(EnvoyTimestampResolution.MICROSECOND))
  end
  if headers:get("x-grpc-web") ~= nil then
    handle:streamInfo():dynamicMetadata():set("palaver", "is_web", true)
  end
  refuse_body(handle)
  await_short_body(handle)
  ask_for_head(handle)
end

-- With GET, HTTP gives a body no meaning, and Envoy would drop it: whoever puts fields there is told. Nothing waits where
-- there is none.
function refuse_body(handle)
  if not handle:metadata():get("takes_no_body") then
    return
  end
  local body = handle:body()
  if body ~= nil and body:length() > 0 then
    handle:respond({ [":status"] = "400" }, "This method takes no body; its fields are query parameters.")
  end
end

-- What nobody serves is refused at once, and HTTP/2 then ends the stream of a body that still comes (RFC 9113, section
-- 8.1), which clients such as curl 7 take for an error in place of the answer. A body that is short by its own account is
-- waited for; to wait for a long one would be to take in what is refused.
SHORT_BODY = 65536

function await_short_body(handle)
  if handle:metadata():get("is_served") then
    return
  end
  local declared = handle:headers():get("content-length")
  local length = declared and tonumber(declared)
  if length and length > 0 and length <= SHORT_BODY then
    handle:body()
  end
end

-- HEAD is GET without the body (RFC 9110, section 9.3.2), and the contract has GET alone.
function ask_for_head(handle)
  local headers = handle:headers()
  if headers:get(":method") == "HEAD" and handle:metadata():get("takes_no_body") then
    headers:replace(":method", "GET")
    handle:streamInfo():dynamicMetadata():set("palaver", "is_head", true)
  end
end

function is_head(handle)
  local ours = handle:streamInfo():dynamicMetadata():get("palaver")
  return ours ~= nil and ours["is_head"]
end

-- The headers of GET, the length of its body among them, without the body.
function leave_out_body(handle)
  local body = handle:body(true)
  if body:length() > 0 then
    local length = tostring(body:length())
    body:setBytes("")
    handle:headers():replace("content-length", length)
  end
end

-- gRPC-Web's trailers become a part of the body, where the access log does not find the status: it is kept aside before.
function note_web_status(handle)
  local ours = handle:streamInfo():dynamicMetadata():get("palaver")
  if ours ~= nil and ours["is_web"] then
    local trailers = handle:trailers() -- waits, while the body passes: objects taken before are stale now
    local status = trailers ~= nil and trailers:get("grpc-status")
    if status then
      handle:streamInfo():dynamicMetadata():set("palaver", "code", tonumber(status))
    end
  end
end

-- An error that the transcoder has written as google.rpc.Status gets the body that the server chose instead
-- (OpenAI's shape, the health document). Streams and answers below 400 are not touched, so nothing is held back.
--
-- A refusal that Envoy passes on for the server has its gRPC status already. For gRPC-Web, Envoy would make one of the
-- HTTP status (UNAVAILABLE of a 429): here it becomes the gRPC answer that it is for gRPC callers.
function shape(handle)
  local headers = handle:headers()
  local is_refusal = headers:get("x-palaver-error") ~= nil and headers:get("grpc-status") ~= nil
  if is_refusal and headers:get(":status") ~= "200" then
    local body = handle:body(true)
    local message = body:getBytes(0, body:length())
    body:setBytes("")
    headers = handle:headers()
    headers:replace(":status", "200")
    headers:replace("content-type", "application/grpc")
    headers:remove("content-length")
    local escaped = string.gsub(message, "[^ -$&-~]", function(byte)
      return string.format("%%%02X", string.byte(byte))
    end)
    headers:replace("grpc-message", escaped)
    return
  end
  local chosen = headers:get("x-palaver-body")
  if chosen == nil then
    note_web_status(handle)
    return
  end
  headers:remove("x-palaver-body")
  if headers:get("content-type") ~= "application/json" or tonumber(headers:get(":status")) < 400 then
    return
  end
  local length = handle:body(true):setBytes(chosen) -- waits for the body: headers taken before are stale now
  handle:headers():replace("content-length", tostring(length))
end

function envoy_on_response(handle)
  shape(handle)
  if is_head(handle) then
    leave_out_body(handle)
  end
end
