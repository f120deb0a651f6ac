// The CAPTCHA in our forms: finds the answer to a challenge when somebody begins to fill in the form, and sends it along.
// It loads nothing, asks nothing of the person, and never moves the focus.
"use strict";

{
  const WORDS = {
    idle: "Your browser is going to show that you are no robot. You need not do anything.",
    working: "Your browser is computing, to show that you are no robot…",
    pressed: "One moment, please: the form is sent as soon as your browser has done its computing.",
    done: "Your browser has shown that you are no robot.",
    failed: "It could not be shown that you are no robot. Press the button to try again.",
    limited: "There were too many tries from your network. Wait a minute, please, then press the button to try again.",
    insecure: "This page did not come by https, so your browser refuses the computing that would show that you are no robot.",
  };
  const SENT_MS = 10_000; // after so long without an answer the form can be sent again
  const AT_ONCE = 32; // derivations under way at a time: they run beside the page, on all cores

  class Trouble extends Error {}

  const PROVIDERS = {
    // Good for ten minutes, so it may be solved while the form is filled in.
    altcha: { solve: solveAltcha, early: true, freshMs: 540_000 },
    // Good for two minutes.
    recaptcha_v3: { solve: askRecaptcha, early: false, freshMs: 100_000 },
  };

  class Captcha {
    constructor(box) {
      this.data = box.dataset;
      this.form = box.closest("form");
      this.field = box.querySelector("input[name=captcha]");
      this.status = box.querySelector("[role=status]");
      this.provider = PROVIDERS[this.data.provider];
      this.working = false;
      this.reset();
      this.form.addEventListener("focusin", () => this.provider.early && !this.failed && this.begin());
      this.form.addEventListener("submit", (event) => this.submitted(event));
      addEventListener("pageshow", (event) => event.persisted && this.reset()); // came back: what was sent is used up
    }

    reset() {
      this.solvedAt = null;
      this.failed = false;
      this.pressed = null; // by whom the form is to be sent once it can be
      this.sent = false;
      this.field.value = "";
      this.say(WORDS.idle);
    }

    get ready() {
      return this.solvedAt !== null && Date.now() - this.solvedAt < this.provider.freshMs;
    }

    submitted(event) {
      if (this.ready && !this.sent) {
        this.sent = true;
        setTimeout(() => this.reset(), SENT_MS);
        return;
      }
      event.preventDefault();
      if (this.sent) return; // pressed twice
      this.pressed = { by: event.submitter };
      this.begin();
    }

    async begin() {
      if (this.working || this.ready) {
        if (this.working && this.pressed) this.say(WORDS.pressed);
        return;
      }
      this.working = true;
      this.failed = false;
      this.say(this.pressed ? WORDS.pressed : WORDS.working);
      const began = Date.now();
      try {
        this.field.value = await this.provider.solve(this.data, began + this.provider.freshMs);
        this.solvedAt = began;
        this.say(WORDS.done);
      } catch (error) {
        this.failed = true;
        this.say(error instanceof Trouble ? error.message : WORDS.failed);
      }
      this.working = false;
      const pressed = this.pressed;
      this.pressed = null;
      if (pressed && this.ready) this.form.requestSubmit(pressed.by);
    }

    say(words) {
      if (this.status.textContent !== words) this.status.textContent = words;
    }
  }

  async function solveAltcha({ challenge: url }, until) {
    if (!globalThis.crypto?.subtle) throw new Trouble(WORDS.insecure);
    const answer = await fetch(url, { headers: { Accept: "application/json" }, credentials: "omit" });
    if (answer.status === 429) throw new Trouble(WORDS.limited);
    const { parameters, signature } = await answer.json();
    const { keyPrefix } = parameters;
    for (let first = 0; Date.now() < until; first += AT_ONCE) {
      const tries = Array.from({ length: AT_ONCE }, (_, index) => derive(parameters, first + index));
      const keys = await Promise.all(tries);
      const index = keys.findIndex((key) => key.startsWith(keyPrefix));
      if (index >= 0) {
        const solution = { counter: first + index, derivedKey: keys[index] };
        return btoa(JSON.stringify({ challenge: { parameters, signature }, solution }));
      }
    }
    throw new Trouble(WORDS.failed);
  }

  async function derive({ nonce, salt, cost, keyLength }, counter) {
    const password = new Uint8Array([...bytes(nonce), counter >>> 24, counter >>> 16, counter >>> 8, counter]);
    const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
    const algorithm = { name: "PBKDF2", hash: "SHA-256", salt: bytes(salt), iterations: cost };
    const derived = new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, 8 * keyLength));
    return Array.from(derived, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function bytes(hex) {
    return Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
  }

  async function askRecaptcha({ siteKey, action }) {
    await new Promise((resolve) => grecaptcha.ready(resolve)); // not there, where it was blocked: that fails
    return grecaptcha.execute(siteKey, { action });
  }

  for (const box of document.querySelectorAll(".captcha[data-provider]")) new Captcha(box);
}
