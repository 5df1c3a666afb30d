// Chooses between the sign-in page and the shell, which is loaded after sign-in.

import { useEffect } from "preact/hooks";
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";

import { loadViewMessages, t } from "../lang";
import { SignIn } from "./sign-in";
import { state } from "./session";

const shell = signal<ComponentType | null>(null);
const isMissing = signal(false);

async function loadShell(): Promise<void> {
  try {
    const [module] = await Promise.all([import("./shell"), loadViewMessages()]);
    shell.value = module.Shell;
  } catch {
    isMissing.value = true;
  }
}

export function App() {
  const current = state.value;
  useEffect(() => {
    if (current.kind === "signed-in" && shell.value === null) void loadShell();
  }, [current.kind]);
  if (current.kind !== "signed-in") return <SignIn />;
  if (isMissing.value) return <p class="lonely">{t("app.files_missing")}</p>;
  const Shell = shell.value;
  return Shell === null ? <div class="boot" aria-busy="true" /> : <Shell />;
}
