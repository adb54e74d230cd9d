// An OpenID provider on loopback, for tests: node idp.mjs PORT PEOPLE MODULES
//
// Anybody signs in with any password; PEOPLE is a JSON file with the claims of each person, read
// again at every sign-in. Its keys are new whenever it starts. MODULES is the directory in which
// oidc-provider was installed.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [port, people, modules] = process.argv.slice(2);
const found = createRequire(join(modules, 'package.json')).resolve('oidc-provider');
const { Provider } = await import(pathToFileURL(found).href);

const KINDS = {
  ES256: ['ec', { namedCurve: 'P-256' }],
  RS256: ['rsa', { modulusLength: 2048 }],
  PS256: ['rsa', { modulusLength: 2048 }],
  EdDSA: ['ed25519', {}],
};
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';

const key = ([alg, kind]) => {
  const { privateKey } = generateKeyPairSync(...kind);
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig' };
};

// A program of the person's own: loopback on any port (RFC 8252 §7.3), with or without a secret.
const native = (client_id, alg, secret) => ({
  client_id,
  ...(secret ? { client_secret: secret } : { token_endpoint_auth_method: 'none' }),
  application_type: 'native',
  redirect_uris: ['http://127.0.0.1'],
  grant_types: ['authorization_code', DEVICE],
  response_types: ['code'],
  id_token_signed_response_alg: alg,
});

const claimsOf = (id) => JSON.parse(readFileSync(people))[id];

const provider = new Provider(`http://localhost:${port}`, {
  clients: [
    native('mintmark', 'ES256'),
    native('mintmark-rsa', 'RS256'),
    native('mintmark-pss', 'PS256'),
    native('mintmark-ed25519', 'EdDSA'),
    native('mintmark-secret', 'ES256', 'public by protocol'),
  ],
  jwks: { keys: Object.entries(KINDS).map(key) },
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name', 'preferred_username'],
    groups: ['groups'],
  },
  scopes: ['openid', 'email', 'profile', 'groups'],
  conformIdTokenClaims: false, // the ID token has the claims; nobody asks the userinfo endpoint
  findAccount: (_, id) =>
    claimsOf(id) && { accountId: id, claims: () => ({ sub: id, ...claimsOf(id) }) },
  enabledJWA: { idTokenSigningAlgValues: Object.keys(KINDS) },
  features: { devInteractions: { enabled: true }, deviceFlow: { enabled: true } },
  pkce: { required: () => true },
  cookies: { keys: ['only for tests'] },
  ttl: { IdToken: 3600 },
});
provider.listen(Number(port), '127.0.0.1', () => console.log('listening'));
