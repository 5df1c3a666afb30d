// Chart over time, with a heading, a sentence, a table of the same numbers, and a cursor for keys.

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";

import { isDark } from "../app/preferences";
import { Button } from "../kit/controls";
import { dayMonth, dayTime, hourMinute } from "../kit/format";
import { Empty, Panel, Swatch } from "../kit/layout";
import { Table } from "../kit/table";
import { t } from "../lang";

export interface Line {
  label: string;
  color: string;
  values: (number | null)[];
  dash?: boolean;
}

interface PlotProps {
  title: string;
  sentence?: ComponentChildren;
  /** Seconds since 1970. */
  x: number[];
  lines: Line[];
  format: (value: number) => string;
  stacked?: boolean;
  /** Times of configuration versions. */
  marks?: { at: number; label: string }[];
  actions?: ComponentChildren;
  empty?: string;
  height?: number;
}

const resolve = (color: string): string => {
  const probe = document.createElement("i");
  probe.style.color = color;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
};

/** Values as they are drawn: each line on top of the ones before it. */
function stack(lines: Line[]): (number | null)[][] {
  const sums: number[] = [];
  return lines.map((line) => line.values.map((value, index) => (sums[index] = (sums[index] ?? 0) + (value ?? 0))));
}

function options(uplot: typeof uPlot, width: number, props: PlotProps, onCursor: (index: number | null) => void): uPlot.Options {
  const { x, lines, format, stacked, marks = [], height = 200 } = props;
  const [axis, grid, mark] = [resolve("var(--muted)"), resolve("var(--line)"), resolve("var(--warn)")];
  const spanSeconds = (x.at(-1) ?? 0) - (x[0] ?? 0);
  const half = ((x[1] ?? 1) - (x[0] ?? 0)) / 2;
  const label = (at: number): string => (spanSeconds > 3 * 86_400 ? dayMonth(at * 1000) : hourMinute(at * 1000));
  const font = "11.5px system-ui, sans-serif";
  const bars = uplot.paths.bars?.({ size: [0.7, 40], align: 0 });
  return {
    width,
    height,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: !stacked } },
    // Bars stand around their time: without room, the first and the last would be cut.
    scales: { x: { time: true, ...(stacked ? { range: (_, min, max) => [min - half, max + half] as [number, number] } : {}) }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
    axes: [
      { stroke: axis, font, grid: { show: false }, ticks: { show: false }, size: 26, values: (_, at) => at.map(label), space: 70 },
      { stroke: axis, font, grid: { stroke: grid, width: 1 }, ticks: { show: false }, size: 58, values: (_, at) => at.map(format), space: 34 },
    ],
    series: [
      {},
      // Drawn from the top of the stack down, so that each covers the part below it.
      ...[...lines].reverse().map((line): uPlot.Series => {
        const color = resolve(line.color);
        return stacked
          ? { stroke: color, fill: color, width: 0, paths: bars, points: { show: false } }
          : { stroke: color, width: 2, dash: line.dash ? [6, 4] : undefined, points: { show: x.length < 3 }, spanGaps: false };
      }),
    ],
    hooks: {
      setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)],
      draw: [
        (plot) => {
          plot.ctx.save();
          plot.ctx.strokeStyle = mark;
          plot.ctx.setLineDash([3, 3]);
          for (const one of marks) {
            const left = Math.round(plot.valToPos(one.at, "x", true));
            if (left < plot.bbox.left || left > plot.bbox.left + plot.bbox.width) continue;
            plot.ctx.beginPath();
            plot.ctx.moveTo(left, plot.bbox.top);
            plot.ctx.lineTo(left, plot.bbox.top + plot.bbox.height);
            plot.ctx.stroke();
          }
          plot.ctx.restore();
        },
      ],
    },
  };
}

export function Plot(props: PlotProps) {
  const { title, sentence, x, lines, format, stacked, marks = [], actions, empty, height = 200 } = props;
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const [isTable, setTable] = useState(false);
  const hasData = lines.some((line) => line.values.some((value) => value !== null && value !== 0));
  const data = useMemo<uPlot.AlignedData>(() => [x, ...(stacked ? stack(lines) : lines.map((line) => line.values)).reverse()], [x, lines, stacked]);
  const shape = `${lines.map((line) => line.label + line.color).join()}${isDark.value}${stacked}${isTable}${hasData}${marks.length}`;

  useEffect(() => {
    const element = frame.current;
    if (!element || !hasData) return undefined;
    let isOver = false;
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    void import("./engine").then(({ default: uplot }) => {
      if (isOver) return;
      plot.current = new uplot(options(uplot, element.clientWidth, props, setAt), data, element);
      observer.observe(element);
    });
    return () => {
      isOver = true;
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => plot.current?.setData(data), [data]);

  function moveCursor(event: KeyboardEvent): void {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0 || !plot.current) return;
    event.preventDefault();
    const index = Math.max(0, Math.min(x.length - 1, (at ?? (step > 0 ? -1 : x.length)) + step));
    plot.current.setCursor({ left: plot.current.valToPos(x[index] ?? 0, "x"), top: 20 });
  }

  const shown = at !== null && x[at] !== undefined ? at : null;
  const rows = useMemo(() => x.map((time, index) => ({ time, index })).reverse(), [x]);
  return (
    <Panel
      title={title}
      about={sentence}
      flush={isTable}
      actions={<>{actions}{hasData && <Button kind="plain" small pressed={isTable} onClick={() => setTable(!isTable)}>{isTable ? t("chart.chart") : t("chart.table")}</Button>}</>}
    >
      {!hasData ? <Empty title={t("chart.empty")}><p>{empty ?? t("chart.empty_why")}</p></Empty> : isTable ? (
        <Table
          caption={title}
          rows={rows}
          id={(row) => String(row.time)}
          columns={[
            { head: t("time.time"), cell: (row) => dayTime(row.time * 1000) },
            ...lines.map((line) => ({ head: line.label, end: true, cell: (row: { index: number }) => { const value = line.values[row.index]; return value === null || value === undefined ? "–" : format(value); } })),
          ]}
        />
      ) : (
        <div class="chart">
          <div ref={frame} class="plot" tabIndex={0} role="img" aria-label={`${title}. ${typeof sentence === "string" ? sentence : ""} ${t("chart.keys")}`} onKeyDown={moveCursor} />
          <div class="legend-row" aria-live="polite">
            {shown !== null && <span>{dayTime((x[shown] ?? 0) * 1000)}</span>}
            {lines.map((line) => {
              const value = shown === null ? null : line.values[shown];
              return <span key={line.label} class="row"><Swatch color={line.color} />{line.label}{value !== null && value !== undefined && <b>{format(value)}</b>}</span>;
            })}
            {marks.length > 0 && <span class="row"><span aria-hidden="true">┊</span>{t("chart.marks", { n: marks.length })}</span>}
          </div>
        </div>
      )}
    </Panel>
  );
}
