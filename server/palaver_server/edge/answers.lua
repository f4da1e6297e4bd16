-- Two things that no setting of Envoy does.

-- A caller's request id goes into logs and answers as it is, so it keeps only what can break neither.
function envoy_on_request(handle)
  local headers = handle:headers()
  local id = headers:get("x-request-id")
  if id ~= nil and (#id > 128 or string.find(id, "[^%w._:/+=-]")) then
    local clean = string.sub(string.gsub(id, "[^%w._:/+=-]", ""), 1, 128)
    headers:replace("x-request-id", clean == "" and "unreadable" or clean)
  end
end

-- An error that the transcoder has written as google.rpc.Status gets the body that the server chose instead
-- (OpenAI's shape, the health document). Streams and answers below 400 are not touched, so nothing is held back.
function envoy_on_response(handle)
  local headers = handle:headers()
  local chosen = headers:get("x-palaver-body")
  if chosen == nil then
    return
  end
  headers:remove("x-palaver-body")
  if headers:get("content-type") ~= "application/json" or tonumber(headers:get(":status")) < 400 then
    return
  end
  local length = handle:body(true):setBytes(chosen) -- waits for the body: headers taken before are stale now
  handle:headers():replace("content-length", tostring(length))
end
