// Solves a challenge, given as JSON on stdin, with ALTCHA's own JavaScript, and says the payload as its widget makes it.
// The working directory is the one that has node_modules.

import { createRequire } from "node:module";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(`${process.cwd()}/`));
const { pbkdf2, solveChallenge } = await import(pathToFileURL(require.resolve("altcha/lib").replace(/\.umd\.cjs$/, ".js")));

const { parameters, signature } = JSON.parse(await text(process.stdin));
const solution = await solveChallenge({ challenge: { parameters, signature }, deriveKey: pbkdf2.deriveKey });
process.stdout.write(btoa(JSON.stringify({ challenge: { parameters, signature }, solution })));
