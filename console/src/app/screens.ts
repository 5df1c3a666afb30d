// Screens: path, name, shortcut, and the chunk that shows them.

import type { ComponentType } from "preact";

import type { IconName } from "../kit/icons";
import type { Key } from "../lang";

export interface Screen {
  path: string;
  name: Key;
  icon: IconName;
  /** Second key after `g`. */
  shortcut: string;
  load: () => Promise<{ View: ComponentType }>;
}

export const GROUPS: { name: Key; screens: Screen[] }[] = [
  {
    name: "nav.observe",
    screens: [
      { path: "overview", name: "nav.overview", icon: "overview", shortcut: "o", load: () => import("../views/overview") },
      { path: "requests", name: "nav.requests", icon: "requests", shortcut: "q", load: () => import("../views/requests") },
      { path: "usage", name: "nav.usage", icon: "usage", shortcut: "u", load: () => import("../views/usage") },
    ],
  },
  {
    name: "nav.gateway",
    screens: [
      { path: "routes", name: "nav.routes", icon: "routes", shortcut: "r", load: () => import("../views/routes") },
      { path: "providers", name: "nav.providers", icon: "providers", shortcut: "p", load: () => import("../views/providers") },
      { path: "consumers", name: "nav.consumers", icon: "consumers", shortcut: "c", load: () => import("../views/consumers") },
      { path: "limits", name: "nav.limits", icon: "limits", shortcut: "l", load: () => import("../views/limits") },
      { path: "guards", name: "nav.guards", icon: "guards", shortcut: "s", load: () => import("../views/guards") },
      { path: "cache", name: "nav.cache", icon: "cache", shortcut: "a", load: () => import("../views/cache") },
    ],
  },
  {
    name: "nav.work",
    screens: [
      { path: "playground", name: "nav.playground", icon: "playground", shortcut: "t", load: () => import("../views/playground") },
      { path: "configuration", name: "nav.config", icon: "config", shortcut: "f", load: () => import("../views/configuration") },
      { path: "operators", name: "nav.operators", icon: "operators", shortcut: "d", load: () => import("../views/operators") },
      { path: "settings", name: "nav.settings", icon: "settings", shortcut: "e", load: () => import("../views/settings") },
      { path: "welcome", name: "nav.welcome", icon: "welcome", shortcut: "w", load: () => import("../views/welcome") },
    ],
  },
];

export const SCREENS = GROUPS.flatMap((group) => group.screens);
