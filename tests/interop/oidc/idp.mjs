// An OpenID provider on loopback, for tests: node idp.mjs PORT PEOPLE TLS MODULES
//
// Anybody signs in with any password; PEOPLE is a JSON file with the claims of each person, read
// again at every sign-in. TLS is a PEM file with its private key and its certificates. Its signing
// keys are new whenever it starts. MODULES is the directory in which oidc-provider was installed.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [port, people, tls, modules] = process.argv.slice(2);
const found = createRequire(join(modules, 'package.json')).resolve('oidc-provider');
const { Provider } = await import(pathToFileURL(found).href);

const KINDS = {
  ES256: ['ec', { namedCurve: 'P-256' }],
  RS256: ['rsa', { modulusLength: 2048 }],
  PS256: ['rsa', { modulusLength: 2048 }],
  EdDSA: ['ed25519', {}],
};
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const STEP = 'step';

const key = ([alg, kind]) => {
  const { privateKey } = generateKeyPairSync(...kind);
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig' };
};

// A program of the person's own: loopback on any port (RFC 8252 §7.3), with or without a secret.
const native = (client_id, alg, client_secret, token_endpoint_auth_method = 'none') => ({
  client_id,
  client_secret,
  token_endpoint_auth_method,
  application_type: 'native',
  redirect_uris: ['http://127.0.0.1'],
  grant_types: ['authorization_code', DEVICE],
  response_types: ['code'],
  id_token_signed_response_alg: alg,
});

// Who asks with a scope for groups gets them; `step` knows no such scope, and always does.
const claimsOf = (id, scope, client) => {
  const { groups, ...others } = JSON.parse(readFileSync(people))[id];
  const asked = client === STEP || scope.split(' ').includes('groups');
  return { sub: id, ...others, ...(asked && { groups }) };
};

const provider = new Provider(`https://localhost:${port}`, {
  clients: [
    native('mintmark', 'ES256'),
    native('mintmark-rsa', 'RS256'),
    native('mintmark-pss', 'PS256'),
    native('mintmark-ed25519', 'EdDSA'),
    native('mintmark-secret', 'ES256', 'public by protocol', 'client_secret_basic'),
    native(STEP, 'ES256', 'public by protocol', 'client_secret_post'),
  ],
  jwks: { keys: Object.entries(KINDS).map(key) },
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified', 'groups'],
    profile: ['name', 'preferred_username'],
    groups: ['groups'],
  },
  scopes: ['openid', 'email', 'profile', 'groups'],
  conformIdTokenClaims: false, // the ID token has the claims; nobody asks the userinfo endpoint
  findAccount: (context, id) =>
    id in JSON.parse(readFileSync(people)) && {
      accountId: id,
      claims: (_, scope) => claimsOf(id, scope, context.oidc.client.clientId),
    },
  enabledJWA: { idTokenSigningAlgValues: Object.keys(KINDS) },
  features: { devInteractions: { enabled: true }, deviceFlow: { enabled: true } },
  pkce: { required: () => true },
  cookies: { keys: ['only for tests'] },
  ttl: { IdToken: 3600 },
});
// RFC 8628 §3.2: without an `interval` a device asks every five seconds.
provider.use(async (context, next) => {
  await next();
  if (context.body?.device_code) context.body.interval = 1;
});
const pem = readFileSync(tls);
createServer({ key: pem, cert: pem }, provider.callback()).listen(Number(port), '127.0.0.1');
