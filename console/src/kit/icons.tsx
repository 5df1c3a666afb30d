// Icons as paths on a grid of 24, drawn by one component.

const PATHS = {
  overview: "M4 4h7v9H4zM13 4h7v5h-7zM13 11h7v9h-7zM4 15h7v5H4z",
  requests: "M4 6h16M4 12h16M4 18h10",
  usage: "M4 20V10M10 20V4M16 20v-7M21 20H3",
  routes: "M6 4v6a4 4 0 0 0 4 4h8M6 20v-6M15 11l3 3-3 3M6 4l-2 2M6 4l2 2",
  providers: "M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01",
  consumers: "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM3 20c0-3.500 2.700-6 6-6s6 2.500 6 6M16 4.500a3.500 3.500 0 0 1 0 6.500M18 14.500c2 .8 3 2.800 3 5.500",
  limits: "M12 4a9 9 0 0 0-9 9c0 2.500 1 4.700 2.500 6.300h13A9 9 0 0 0 12 4zM12 13l4-4",
  guards: "M12 3l8 3v6c0 4.500-3.300 7.800-8 9-4.700-1.200-8-4.500-8-9V6zM9 12l2 2 4-4",
  cache: "M12 4c4.400 0 8 1.300 8 3s-3.600 3-8 3-8-1.300-8-3 3.600-3 8-3zM4 7v10c0 1.700 3.600 3 8 3s8-1.300 8-3V7M4 12c0 1.700 3.600 3 8 3s8-1.300 8-3",
  playground: "M5 5h14v10H10l-5 4z",
  config: "M8 4H6a2 2 0 0 0-2 2v4l-1 2 1 2v4a2 2 0 0 0 2 2h2M16 4h2a2 2 0 0 1 2 2v4l1 2-1 2v4a2 2 0 0 1-2 2h-2",
  operators: "M12 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM5 21c0-4 3-7 7-7 1.500 0 3 .4 4 1.200M17 17l2 2 3-4",
  settings: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
  welcome: "M12 3l2.500 5.500L20 9l-4 4 1 6-5-3-5 3 1-6-4-4 5.500-.5z",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12l5 5L19 7",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  warn: "M12 4l9 16H3zM12 10v4M12 17h.01",
  info: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v5M12 8h.01",
  menu: "M4 6h16M4 12h16M4 18h16",
  play: "M7 5l11 7-11 7z",
  pause: "M8 5v14M16 5v14",
  stop: "M6 6h12v12H6z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.500 1.500M17.500 17.500L19 19M19 5l-1.500 1.500M6.500 17.500L5 19",
  moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500z",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  refresh: "M20 12a8 8 0 1 1-2.300-5.700L20 8M20 4v4h-4",
  key: "M14 10a4 4 0 1 1-4-4 4 4 0 0 1 4 4zM13 13l7 7M17 17l2-2",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
  out: "M10 4H5v16h5M15 8l4 4-4 4M19 12H9",
  retry: "M4 9h12a4 4 0 0 1 0 8H9M7 6L4 9l3 3",
  fallback: "M5 5v5a4 4 0 0 0 4 4h9M15 11l3 3-3 3",
  hedge: "M4 12h6l4-5h6M10 12l4 5h6",
  bolt: "M13 3L5 14h6l-1 7 8-11h-6z",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return <svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d={PATHS[name]} /></svg>;
}
