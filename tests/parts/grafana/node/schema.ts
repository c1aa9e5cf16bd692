// The strict type of a classic dashboard, from the types that Grafana publishes: a key that no type has is an
// error. ts-json-schema-generator makes a JSON Schema of it. Only the panels that our dashboards may have.
import type * as bargauge from '@grafana/schema/dist/types/raw/composable/bargauge/panelcfg/x/types.gen';
import type * as stat from '@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen';
import type * as table from '@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen';
import type * as text from '@grafana/schema/dist/types/raw/composable/text/panelcfg/x/types.gen';
import type * as timeseries from '@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen';
import type * as raw from '@grafana/schema/dist/types/raw/dashboard/x/types.gen';

interface Source {
  type: 'influxdb';
  uid: string;
}

interface Target {
  refId: string;
  datasource: Source;
  rawQuery: true;
  query: string;
  alias?: string;
  resultFormat: 'time_series' | 'table';
}

interface FieldConfig<Custom> extends Omit<raw.FieldConfig, 'custom'> {
  custom?: Partial<Custom>;
}

interface FieldConfigSource<Custom> extends Omit<raw.FieldConfigSource, 'defaults'> {
  defaults: FieldConfig<Custom>;
}

interface Panel<Kind extends string, Options, Custom>
  extends Omit<raw.Panel, 'type' | 'options' | 'fieldConfig' | 'targets' | 'datasource' | 'id'> {
  id: number;
  title: string;
  type: Kind;
  datasource: Source;
  options: Partial<Options>;
  fieldConfig: FieldConfigSource<Custom>;
  targets: Target[];
}

interface TextPanel extends Omit<raw.Panel, 'type' | 'options' | 'fieldConfig' | 'targets' | 'datasource' | 'id'> {
  id: number;
  type: 'text';
  options: Partial<text.Options>;
}

interface Row extends Omit<raw.RowPanel, 'panels'> {
  panels: never[];
}

type None = Record<string, never>;

type AnyPanel =
  | Panel<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | Panel<'stat', stat.Options, None>
  | Panel<'bargauge', bargauge.Options, None>
  | Panel<'table', table.Options, table.FieldConfig>
  | TextPanel
  | Row;

interface Annotation extends Omit<raw.AnnotationQuery, 'target' | 'datasource'> {
  datasource: Source;
  query: string;
  fromAnnotations: true;
  textColumn: string;
  tagsColumn?: string;
  timeEndColumn?: string;
}

interface Variable extends Omit<raw.VariableModel, 'datasource'> {
  datasource?: Source;
  definition?: string;
}

export interface StrictDashboard extends Omit<raw.Dashboard, 'panels' | 'annotations' | 'templating'> {
  title: string;
  uid: string;
  panels: AnyPanel[];
  annotations: { list: Annotation[] };
  templating: { list: Variable[] };
}
