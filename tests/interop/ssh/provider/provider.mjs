// An OpenID provider on loopback: anybody signs in as anybody, groups are as told on the way.
// usage: node provider.mjs PORT '{"alice": ["operators"], "bob": []}' KEYFILE
// A KEYFILE that is not there yet gets a new key, under a name of its own.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const [port, people] = [Number(process.argv[2]), JSON.parse(process.argv[3])];
const issuer = `http://localhost:${port}`;

const file = process.argv[4];
if (!existsSync(file)) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const names = { alg: 'ES256', use: 'sig', kid: randomBytes(8).toString('hex') };
  writeFileSync(file, JSON.stringify({ ...privateKey.export({ format: 'jwk' }), ...names }));
}
const key = JSON.parse(readFileSync(file, 'utf8'));

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'mintmark-cli',
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    redirect_uris: ['http://127.0.0.1'],
    response_types: ['code'],
    grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
    id_token_signed_response_alg: 'ES256',
  }],
  jwks: { keys: [key] },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  scopes: ['openid', 'email', 'groups'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  conformIdTokenClaims: false, // claims of scopes stand in the ID token itself
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true }, deviceFlow: { enabled: true } },
  findAccount: (_, id) => people[id] && {
    accountId: id,
    claims: () => ({
      sub: id,
      email: `${id}@example.internal`,
      email_verified: true,
      groups: people[id],
    }),
  },
});
provider.listen(port, '127.0.0.1', () => console.log('ready'));
