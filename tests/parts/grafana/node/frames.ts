// What Grafana's InfluxDB data source makes of InfluxQL's answers: pkg/tsdb/influxdb/influxql/buffered.
import { FieldType, toDataFrame, type DataFrame } from '@grafana/data';

import type { Series } from './queries';

interface Target {
  refId: string;
  resultFormat: string;
  alias?: string;
}

export function framesOf(series: Series[], target: Target): DataFrame[] {
  return target.resultFormat === 'table' ? tableFrames(series, target) : curveFrames(series, target);
}

/** One frame: time, tags, values. Grafana gives the tags in no order of its own. */
function tableFrames(series: Series[], target: Target): DataFrame[] {
  if (!series.length) {
    return [];
  }
  const tags = Object.keys(series[0].tags ?? {}).reverse();
  const rows = series.flatMap((one) => one.values.map((values) => ({ values, tags: one.tags ?? {} })));
  const columns = series[0].columns.slice(1).map((name, index) => column(name, rows.map((row) => row.values[index + 1])));
  const fields = [
    { name: 'Time', type: FieldType.time, values: rows.map((row) => row.values[0]) },
    ...tags.map((tag) => column(tag, rows.map((row) => row.tags[tag]))),
    ...columns,
  ];
  return [toDataFrame({ refId: target.refId, name: series[0].name, fields })];
}

function column(name: string, values: unknown[]) {
  const isNumber = typeof values.find((value) => value != null) === 'number';
  return { name, type: isNumber ? FieldType.number : FieldType.string, values, config: { displayNameFromDS: name } };
}

/** One frame for each series and column, named by the alias. */
function curveFrames(series: Series[], target: Target): DataFrame[] {
  return series.flatMap((one) =>
    one.columns.slice(1).map((name, index) => {
      const shown = named(target.alias, one, name);
      const value = {
        name: 'Value',
        type: FieldType.number,
        labels: one.tags ?? {},
        config: { displayNameFromDS: shown },
        values: one.values.map((row) => row[index + 1]),
      };
      const time = { name: 'Time', type: FieldType.time, values: one.values.map((row) => row[0]) };
      return toDataFrame({ refId: target.refId, name: shown, fields: [time, value] });
    })
  );
}

function named(alias: string | undefined, series: Series, column: string): string {
  return alias ? alias.replace(/\$tag_(\w+)/g, (_, tag) => series.tags?.[tag] ?? '') : `${series.name}.${column}`;
}
