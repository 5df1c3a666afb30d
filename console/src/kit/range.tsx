// Choice of the time range, kept in the query.

import { setQuery } from "../app/router";
import { RANGES, type Range } from "../data/usage";
import { t } from "../lang";
import { Segments } from "./controls";

export function RangePicker({ value, ranges = RANGES }: { value: Range; ranges?: Range[] }) {
  return <Segments label={t("range.label")} value={value} choices={ranges.map((range) => ({ value: range, label: t(`range.${range}`) }))} onChange={(range) => setQuery({ range })} />;
}
