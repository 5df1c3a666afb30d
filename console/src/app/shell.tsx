// Frame of all screens: navigation, shortcuts, session, the screen of the current path.

import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";

import "./shell.css";

import { ended } from "../data/client";
import type { Document } from "../data/document";
import { useResource } from "../data/resource";
import { Button } from "../kit/controls";
import { Dialog, Toasts } from "../kit/dialog";
import { Icon } from "../kit/icons";
import { Empty, Notice, setColorOrder } from "../kit/layout";
import { language, t, useLanguage } from "../lang";
import { applyTheme, isDark, remember } from "./preferences";
import { go, href, path } from "./router";
import { GROUPS, SCREENS, type Screen } from "./screens";
import { session, signOut } from "./session";
import { SignInForm } from "./sign-in";

const views = signal<Record<string, ComponentType>>({});
const failed = signal<string | null>(null);
const isHelpOpen = signal(false);
const isMenuOpen = signal(false);

async function loadView(screen: Screen): Promise<void> {
  if (views.value[screen.path]) return;
  try {
    const module = await screen.load();
    views.value = { ...views.value, [screen.path]: module.View };
    sessionStorage.removeItem("serin.reloaded");
  } catch {
    failed.value = screen.path;
  }
}

function isTyping(target: EventTarget | null): boolean {
  const element = target as HTMLElement | null;
  return element !== null && (element.matches?.("input, textarea, select") || element.isContentEditable || element.shadowRoot !== null);
}

/** Listens for `?`, `/` and `g` with a second key. */
function useShortcuts(): void {
  useEffect(() => {
    let since = 0;
    const listen = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
      const wasG = Date.now() - since < 1200;
      since = 0;
      if (wasG) {
        const screen = SCREENS.find((one) => one.shortcut === event.key);
        if (screen) {
          event.preventDefault();
          go(screen.path);
        }
      } else if (event.key === "g") {
        since = Date.now();
      } else if (event.key === "?") {
        isHelpOpen.value = true;
      } else if (event.key === "/") {
        const search = document.querySelector<HTMLInputElement>("main input[type=search]");
        if (search) {
          event.preventDefault();
          search.focus();
        }
      }
    };
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
}

function Help() {
  return (
    <Dialog title={t("help.title")} onClose={() => (isHelpOpen.value = false)}>
      <dl class="pairs">
        {SCREENS.map((screen) => [<dt key={`${screen.path}k`}><kbd>g</kbd> <kbd>{screen.shortcut}</kbd></dt>, <dd key={screen.path}>{t(screen.name)}</dd>])}
        <dt><kbd>/</kbd></dt><dd>{t("help.search")}</dd>
        <dt><kbd>Esc</kbd></dt><dd>{t("help.close")}</dd>
        <dt><kbd>?</kbd></dt><dd>{t("help.this")}</dd>
      </dl>
    </Dialog>
  );
}

function Side({ current }: { current: string }) {
  const own = session.value;
  const other = language.value === "en" ? "zh" : "en";
  return (
    <aside class={isMenuOpen.value ? "side open" : "side"} id="side">
      <a class="brand" href={href("overview")}><img src="/console/serin.svg" alt="" width="24" height="24" />serin</a>
      <nav class="nav" aria-label={t("nav.main")}>
        {GROUPS.map((group) => (
          <div key={group.name}>
            <h2>{t(group.name)}</h2>
            {group.screens.map((screen) => (
              <a key={screen.path} href={href(screen.path)} aria-current={current === screen.path ? "page" : undefined}>
                <Icon name={screen.icon} />{t(screen.name)}
              </a>
            ))}
          </div>
        ))}
      </nav>
      <div class="side-end">
        <div class="spread">
          <div class="small">
            <strong>{own?.operator}</strong>
            <div class="muted">{own && t(`role.${own.role}`)}</div>
          </div>
          <Button kind="plain" icon="out" label={t("session.sign_out")} onClick={() => void signOut()} />
        </div>
        <div class="row">
          <Button
            kind="plain"
            small
            icon={isDark.value ? "sun" : "moon"}
            onClick={() => {
              const next = isDark.value ? "light" : "dark";
              remember("theme", next);
              applyTheme(next);
            }}
          >
            {t(isDark.value ? "theme.light" : "theme.dark")}
          </Button>
          <button
            type="button"
            class="button plain small"
            lang={other === "zh" ? "zh-CN" : "en"}
            onClick={() => {
              remember("language", other);
              void useLanguage(other);
            }}
          >
            {other === "zh" ? "中文" : "English"}
          </button>
        </div>
        {own?.version && <p class="small muted">serin {own.version} · {own.edge === "spin" ? "Spin" : "Cloudflare"}</p>}
      </div>
    </aside>
  );
}

function Current({ current }: { current: string }) {
  const screen = SCREENS.find((one) => one.path === current);
  useEffect(() => {
    if (screen) void loadView(screen);
  }, [current]);
  if (!screen) return <Empty title={t("app.no_screen")}><a href={href("overview")}>{t("nav.overview")}</a></Empty>;
  if (failed.value === current) {
    return <Notice kind="warn"><span>{t("app.files_missing")}</span><span><Button small onClick={() => window.location.reload()}>{t("action.reload")}</Button></span></Notice>;
  }
  const View = views.value[current];
  return View ? <View key={current} /> : <div aria-busy="true" />;
}

export function Shell() {
  useShortcuts();
  const config = useResource<Document>("config");
  if (config.data) setColorOrder((config.data.providers ?? []).map((provider) => provider.id));
  const current = path.value.split("/")[0] || "overview";
  useEffect(() => {
    if (path.value === "") go("overview", true);
    isMenuOpen.value = false;
  }, [path.value]);
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        document.querySelector<HTMLElement>("main h1")?.focus();
      }}>{t("nav.skip")}</a>
      <div class="topbar">
        <button type="button" class="button plain icon" aria-expanded={isMenuOpen.value} aria-controls="side" aria-label={t("nav.main")} onClick={() => (isMenuOpen.value = !isMenuOpen.value)}><Icon name="menu" /></button>
        <span class="brand"><img src="/console/serin.svg" alt="" width="22" height="22" />serin</span>
      </div>
      <Side current={current} />
      <main id="main" class="main" lang={language.value === "zh" ? "zh-CN" : "en"}>
        <Current current={current} />
      </main>
      {isHelpOpen.value && <Help />}
      {ended.value && (
        <Dialog title={t("signin.ended_title")} locked onClose={() => undefined}>
          <p>{t("signin.ended")}</p>
          <SignInForm />
        </Dialog>
      )}
      <Toasts />
    </div>
  );
}
