// InfluxQL with Grafana's macros and variables put in, asked of the server behind /query.
import { rangeUtil, type TimeRange } from '@grafana/data';

export interface Series {
  name: string;
  tags?: Record<string, string>;
  columns: string[];
  values: unknown[][];
}

export interface Variable {
  texts: string[];
  values: string[];
}

export type Variables = Record<string, Variable>;

export async function ask(query: string): Promise<Series[]> {
  const answer = await fetch('/query?' + new URLSearchParams({ q: query, epoch: 'ms' }));
  const document = await answer.json();
  const result = document.results?.[0];
  const error = document.error ?? result?.error;
  if (error || !answer.ok) {
    throw new Error(`${error}: ${query}`);
  }
  return result.series ?? [];
}

/** width: of the panel in pixels. least: the data source's smallest interval, such as 60s. */
export function expand(text: string, variables: Variables, range: TimeRange, width: number, least: string): string {
  const interval = rangeUtil.calculateInterval(range, width, least);
  const from = String(range.from.valueOf());
  const to = String(range.to.valueOf());
  return put(text, variables)
    .replaceAll('$timeFilter', `time >= ${from}ms and time <= ${to}ms`)
    .replaceAll('$__interval_ms', String(interval.intervalMs))
    .replaceAll('$__interval', interval.interval)
    .replaceAll('${__from}', from)
    .replaceAll('${__to}', to);
}

/** Variables only, as in titles. What the dashboard has not stays as it is written. */
export function put(text: string, variables: Variables): string {
  return text.replace(/\$\{(\w+)(?::(\w+))?\}/g, (written, name, format) => {
    const found = variables[name];
    if (!found) {
      return written;
    }
    if (format === 'text') {
      return found.texts.join(' + ');
    }
    return format === 'regex' ? regex(found.values) : found.values.join(',');
  });
}

function regex(values: string[]): string {
  const escaped = values.map((value) => value.replace(/[\\^$*+?.()|[\]{}\/]/g, '\\$&'));
  return escaped.length === 1 ? escaped[0] : `(${escaped.join('|')})`;
}

/** As Grafana chooses them at first: the first one, or all where several may be chosen. */
export async function chosenVariables(list: any[], range: TimeRange): Promise<Variables> {
  const chosen: Variables = {};
  for (const one of list) {
    if (one.type === 'custom' || one.type === 'textbox') {
      chosen[one.name] = { texts: [one.current.text], values: [one.current.value] };
    } else if (one.type === 'query') {
      const series = await ask(expand(one.query, chosen, range, 1000, '60s'));
      const found = series.flatMap((each) => each.values.map((row) => String(row[1])));
      const values = one.multi ? found : [found[0] ?? ''];
      chosen[one.name] = { texts: values, values };
    }
  }
  return chosen;
}
