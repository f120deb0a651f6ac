// A real OpenID provider for tests: the package oidc-provider over plain HTTP on 127.0.0.1, told what to do over stdin.
//
// Every line of stdin is JSON, and every line of stdout answers one. The first starts the provider: {port, clients, accounts,
// conformIdTokenClaims}; those after it replace the accounts: {accounts}. When stdin ends, or upon SIGTERM, so does this process.
// The working directory is the one that has node_modules.

import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const PROFILE = [
  "name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
  "gender", "birthdate", "zoneinfo", "locale", "updated_at",
]; // OpenID Connect Core 5.4

let accounts; // by sub
let issuer;

const orders = createInterface({ input: process.stdin });
orders.on("line", async (line) => console.log(JSON.stringify(await obey(JSON.parse(line)))));
orders.on("close", () => process.exit());
process.on("SIGTERM", () => process.exit());
console.info = console.error; // the package's notices: stdout is for answers

async function obey({ accounts: listed, ...options }) {
  accounts = new Map(listed.map((account) => [account.sub, account]));
  issuer ??= await start(options);
  return { issuer };
}

async function start({ port, clients, conformIdTokenClaims }) {
  const { Provider } = await import(pathToFileURL(createRequire(`${process.cwd()}/`).resolve("oidc-provider")));

  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    clients,
    conformIdTokenClaims,
    findAccount,
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: PROFILE },
    cookies: { keys: [randomBytes(32).toString("base64url")] },
    features: { devInteractions: { enabled: true } },
    jwks: { keys: [newKey("rsa", { modulusLength: 2048 }), newKey("ec", { namedCurve: "P-256" })] },
    pkce: { required: () => true },
  });
  provider.on("server_error", (_, error) => console.error(error));
  for (const { client_id: id } of clients) await provider.Client.find(id); // which is when it is looked at: a bad one is told now
  server.on("request", provider.callback());
  return url;
}

function findAccount(_, sub) {
  return accounts.has(sub) ? { accountId: sub, claims: () => accounts.get(sub) ?? { sub } } : undefined;
}

function newKey(type, options) {
  return { ...generateKeyPairSync(type, options).privateKey.export({ format: "jwk" }), use: "sig" };
}
