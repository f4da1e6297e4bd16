"""What only callers over REST meet: their requests are JSON, and Envoy makes protobuf of it before a method sees it.

Envoy's transcoder drops what it does not know. So it asks first, with the request as it came, and ``check_request``
reads it against the contract. Nothing here answers calls: the methods are those of gRPC.
"""

from palaver_server.rpc.rest.check import check_request
from palaver_server.rpc.rest.status import status_json

__all__ = ["check_request", "status_json"]
