// Period of the lists.

/** Borders of the last hour at whole minutes, so that the path stays the same for a minute. */
export function lastHour(): { from: number; to: number } {
  const to = Math.ceil(Date.now() / 60_000) * 60;
  return { from: to - 3600, to };
}
