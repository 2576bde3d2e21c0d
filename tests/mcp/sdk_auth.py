"""A server on the official Python SDK that asks for a sign-in, with the SDK's own authorisation server before it, for `make test-mcp`: whoever
follows the link is let in; a token is over after a second.
sdk_auth.py PORT"""
import secrets
import sys
import time

from mcp.server.auth.provider import AccessToken, AuthorizationCode, RefreshToken, construct_redirect_uri
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.shared.auth import OAuthToken

try:                                    # of 2026
    from mcp.server.mcpserver import MCPServer
    NEW = True
except ImportError:                     # releases 1.x
    from mcp.server.fastmcp import FastMCP as MCPServer
    NEW = False

PORT = int(sys.argv[1])
HERE = "http://127.0.0.1:%d" % PORT


class Provider:
    def __init__(self):
        self.clients, self.codes, self.access, self.refresh = {}, {}, {}, {}

    async def get_client(self, client_id):
        return self.clients.get(client_id)

    async def register_client(self, client_info):
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client, params):
        code = secrets.token_hex(16)
        self.codes[code] = AuthorizationCode(code=code, scopes=params.scopes or [], expires_at=time.time() + 60, client_id=client.client_id, code_challenge=params.code_challenge,
                                             redirect_uri=params.redirect_uri, redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly, resource=params.resource)
        return construct_redirect_uri(str(params.redirect_uri), code=code, state=params.state)

    async def load_authorization_code(self, client, authorization_code):
        return self.codes.get(authorization_code)

    def give(self, client, scopes, resource):
        access, refresh = secrets.token_hex(16), secrets.token_hex(16)
        self.access[access] = AccessToken(token=access, client_id=client.client_id, scopes=scopes, expires_at=int(time.time()) + 3600, resource=resource)
        self.refresh[refresh] = RefreshToken(token=refresh, client_id=client.client_id, scopes=scopes)
        return OAuthToken(access_token=access, token_type="Bearer", expires_in=1, refresh_token=refresh, scope=" ".join(scopes))

    async def exchange_authorization_code(self, client, authorization_code):
        del self.codes[authorization_code.code]
        return self.give(client, authorization_code.scopes, authorization_code.resource)

    async def load_refresh_token(self, client, refresh_token):
        return self.refresh.get(refresh_token)

    async def exchange_refresh_token(self, client, refresh_token, scopes):
        del self.refresh[refresh_token.token]
        print("renewed", file=sys.stderr, flush=True)
        return self.give(client, scopes or refresh_token.scopes, HERE + "/mcp")

    async def load_access_token(self, token):
        return self.access.get(token)

    async def revoke_token(self, token):
        pass


auth = AuthSettings(issuer_url=HERE, resource_server_url=HERE + "/mcp", required_scopes=["add"],
                    client_registration_options=ClientRegistrationOptions(enabled=True, valid_scopes=["add"], default_scopes=["add"]))
server = MCPServer("sdk-auth", auth_server_provider=Provider(), auth=auth, **({} if NEW else {"host": "127.0.0.1", "port": PORT}))


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


server.run("streamable-http", **({"host": "127.0.0.1", "port": PORT} if NEW else {}))
