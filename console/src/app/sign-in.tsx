// Sign-in page, and the same form as a dialog when a session ends while a screen is open.

import { useEffect, useRef, useState } from "preact/hooks";

import { ApiError } from "../data/client";
import { language, t, useLanguage } from "../lang";
import { remember } from "./preferences";
import { readSession, signIn, state } from "./session";

function explain(error: unknown): string {
  if (!(error instanceof ApiError) || error.status === 0) return t("signin.unreachable");
  if (error.status === 401) return t("signin.wrong");
  if (error.status === 429) return t("signin.throttled", { minutes: Math.ceil((error.retryAfter ?? 60) / 60) });
  if (error.status === 404) return t("signin.old");
  if (error.code === "key_pepper_missing") return t("signin.pepper");
  return error.message || t("signin.unreachable");
}

export function SignInForm({ onDone }: { onDone?: () => void }) {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (busy) return;
    if (token.trim() === "") {
      setProblem(t("signin.empty"));
      input.current?.focus();
      return;
    }
    setBusy(true);
    setProblem("");
    try {
      await signIn(token.trim());
      setToken("");
      onDone?.();
    } catch (error) {
      setProblem(explain(error));
      input.current?.select();
    }
    setBusy(false);
  }

  return (
    <form class="stack" onSubmit={submit} noValidate>
      <div class="field">
        <label for="token">{t("signin.token")}</label>
        <input
          ref={input}
          id="token"
          type="password"
          name="serin-token"
          autocomplete="off"
          spellcheck={false}
          value={token}
          onInput={(event) => setToken(event.currentTarget.value)}
          aria-invalid={problem !== ""}
          aria-describedby="token-hint token-problem"
        />
        <p id="token-hint" class="hint">{t("signin.hint")}</p>
        <p id="token-problem" class="problem" role="alert">{problem}</p>
      </div>
      <button class="button primary" type="submit" aria-busy={busy}>{busy ? t("signin.busy") : t("signin.submit")}</button>
    </form>
  );
}

function LanguageChoice() {
  const other = language.value === "en" ? "zh" : "en";
  const change = (): void => {
    remember("language", other);
    void useLanguage(other);
  };
  return <button class="link" type="button" lang={other === "zh" ? "zh-CN" : "en"} onClick={change}>{other === "zh" ? "中文" : "English"}</button>;
}

export function SignIn() {
  const kind = state.value.kind;
  document.title = "serin";
  return (
    <div class="door">
      <main class="door-card">
        <div class="brand"><img src="/console/serin.svg" alt="" width="28" height="28" />serin</div>
        <h1>{t(kind === "off" ? "signin.off_title" : "signin.title")}</h1>
        {kind === "off" && (
          <div class="stack">
            <p>{t("signin.off")}</p>
            <pre class="code">npx wrangler secret put ADMIN_TOKEN{"\n"}SPIN_VARIABLE_ADMIN_TOKEN=… spin up</pre>
          </div>
        )}
        {kind === "unreachable" && <p class="problem" role="alert">{t("signin.unreachable")}</p>}
        {(kind === "off" || kind === "unreachable") && <button class="button" onClick={() => void readSession()}>{t("signin.again")}</button>}
        {kind === "signed-out" && (
          <>
            <p class="muted">{t("signin.about")}</p>
            <SignInForm />
            <details class="where"><summary>{t("signin.where")}</summary><p>{t("signin.where_text")}</p></details>
          </>
        )}
        <footer><LanguageChoice /></footer>
      </main>
    </div>
  );
}
