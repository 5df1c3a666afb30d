// Table with sorting and, beyond some rows, only the visible ones in the page.

import type { ComponentChildren } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";

import { go } from "../app/router";
import { t } from "../lang";

const ROW_PX = 38;
const VIRTUAL_FROM = 120;
const OVERSCAN = 8;

export interface Column<T> {
  head: string;
  cell: (row: T) => ComponentChildren;
  end?: boolean;
  wrap?: boolean;
  /** Value to sort by; columns without it do not sort. */
  sort?: (row: T) => number | string;
}

interface Order {
  column: number;
  isDown: boolean;
}

interface TableProps<T> {
  caption: string;
  columns: Column<T>[];
  rows: T[];
  id: (row: T) => string;
  /** Path that a row opens; its first cell has the link. */
  to?: (row: T) => string;
  onOpen?: (row: T) => void;
  selected?: string;
  order?: Order;
}

export function Table<T>({ caption, columns, rows, id, to, onOpen, selected, order }: TableProps<T>) {
  const [chosen, setChosen] = useState<Order | undefined>(order);
  const [scroll, setScroll] = useState(0);
  const frame = useRef<HTMLDivElement>(null);
  const sorted = useMemo(() => {
    const by = chosen === undefined ? undefined : columns[chosen.column]?.sort;
    if (by === undefined || chosen === undefined) return rows;
    const sign = chosen.isDown ? -1 : 1;
    return [...rows].sort((left, right) => {
      const [a, b] = [by(left), by(right)];
      return sign * (typeof a === "string" ? a.localeCompare(String(b)) : a - Number(b));
    });
  }, [rows, chosen]);

  const isVirtual = sorted.length > VIRTUAL_FROM;
  const height = frame.current?.clientHeight ?? 600;
  const first = isVirtual ? Math.max(0, Math.floor(scroll / ROW_PX) - OVERSCAN) : 0;
  const last = isVirtual ? Math.min(sorted.length, Math.ceil((scroll + height) / ROW_PX) + OVERSCAN) : sorted.length;
  const open = (row: T): void => (to ? go(to(row)) : onOpen?.(row));
  const canOpen = to !== undefined || onOpen !== undefined;

  return (
    <div ref={frame} class={isVirtual ? "virtual" : "scroll"} tabIndex={0} role="region" aria-label={caption} onScroll={isVirtual ? (event) => setScroll(event.currentTarget.scrollTop) : undefined}>
      <table aria-rowcount={sorted.length + 1}>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column, index) => {
              const isChosen = chosen?.column === index;
              const direction = isChosen ? (chosen?.isDown ? "descending" : "ascending") : undefined;
              return (
                <th key={index} scope="col" class={column.end ? "end" : undefined} aria-sort={column.sort ? (direction ?? "none") : undefined}>
                  {column.sort ? (
                    <button class="link" type="button" onClick={() => setChosen({ column: index, isDown: isChosen ? !chosen?.isDown : true })}>
                      {column.head}{isChosen ? (chosen?.isDown ? " ↓" : " ↑") : ""}
                    </button>
                  ) : column.head || <span class="hidden">{t("table.actions")}</span>}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {first > 0 && <tr class="spacer" aria-hidden="true"><td colSpan={columns.length} style={{ height: `${first * ROW_PX}px` }} /></tr>}
          {sorted.slice(first, last).map((row) => (
            <tr
              key={id(row)}
              class={canOpen ? "go" : undefined}
              aria-selected={selected === id(row) ? "true" : undefined}
              onClick={(event) => {
                if (canOpen && !(event.target as Element).closest("a, button, input, label")) open(row);
              }}
            >
              {columns.map((column, index) => (
                <td key={index} class={[column.end ? "end" : "", column.wrap ? "wrap" : ""].filter(Boolean).join(" ") || undefined}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
          {last < sorted.length && <tr class="spacer" aria-hidden="true"><td colSpan={columns.length} style={{ height: `${(sorted.length - last) * ROW_PX}px` }} /></tr>}
        </tbody>
      </table>
    </div>
  );
}
