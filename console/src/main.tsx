// Entry: theme, language, session, then the shell or the sign-in page.

import { render } from "preact";

import "./app/app.css";

import { App } from "./app/app";
import { applyTheme, theme } from "./app/preferences";
import { startRouter } from "./app/router";
import { readSession } from "./app/session";
import { preferredLanguage, useLanguage } from "./lang";

applyTheme(theme.value);
startRouter();

// A failed import means that a deployment has replaced the files of this page: it is loaded again, once.
window.addEventListener("vite:preloadError", (event) => {
  if (sessionStorage.getItem("serin.reloaded") === window.location.href) return;
  event.preventDefault();
  sessionStorage.setItem("serin.reloaded", window.location.href);
  window.location.reload();
});

await Promise.all([useLanguage(preferredLanguage()), readSession()]);
const root = document.getElementById("app");
if (root) render(<App />, root);
