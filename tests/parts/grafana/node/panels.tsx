// One panel, drawn by Grafana's own components.
import {
  applyFieldOverrides,
  FieldColorModeId,
  FieldConfigOptionsRegistry,
  formattedValueToString,
  getFieldDisplayName,
  getFieldDisplayValues,
  identityOverrideProcessor,
  renderMarkdown,
  standardTransformersRegistry,
  transformDataFrame,
  type DataFrame,
  type GrafanaTheme2,
  type TimeRange,
} from '@grafana/data';
import { BarGauge, BigValue, PanelChrome, TimeSeries } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { useEffect, useState } from 'react';
import { lastValueFrom } from 'rxjs';

import { framesOf } from './frames';
import { ask, expand, put, type Variables } from './queries';

export const CELL = { width: 58, height: 34, gap: 8 };

const STANDARD = 'unit decimals displayName color thresholds mappings min max noValue links filterable description';
const KNOWN = new Set([...STANDARD.split(' '), 'displayNameFromDS', 'fieldMinMax', 'actions']);

export interface Drawn {
  id: number;
  title: string;
  type: string;
  rows: number;
  fields: string[];
  values: string[];
}

export interface Outcome {
  errors: string[];
  drawn: Drawn[];
}

interface Props {
  panel: any;
  range: TimeRange;
  variables: Variables;
  theme: GrafanaTheme2;
  outcome: Outcome;
}

export function Panel({ panel, range, variables, theme, outcome }: Props) {
  const [frames, setFrames] = useState<DataFrame[] | null>(null);
  const place = panel.gridPos;
  const box = {
    left: place.x * CELL.width,
    top: place.y * (CELL.height + CELL.gap),
    width: place.w * CELL.width - CELL.gap,
    height: place.h * (CELL.height + CELL.gap) - CELL.gap,
  };
  const title = put(panel.title ?? '', variables);

  useEffect(() => {
    read(panel, range, variables, theme, box.width, outcome)
      .then((found) => {
        outcome.drawn.push(described(panel, title, found, theme));
        setFrames(found);
      })
      .catch((error) => outcome.errors.push(`panel ${panel.id} ${title}: ${error.message}`));
  }, []);

  if (panel.type === 'row') {
    return <h3 style={{ position: 'absolute', ...box, margin: 0, fontSize: 16 }}>{title}</h3>;
  }
  const draw = (width: number, height: number) => <>{frames && body(panel, frames, range, theme, width, height)}</>;
  return (
    <div style={{ position: 'absolute', ...box }}>
      <PanelChrome title={title} width={box.width} height={box.height} displayMode={panel.transparent ? 'transparent' : 'default'}>
        {draw}
      </PanelChrome>
    </div>
  );
}

async function read(
  panel: any,
  range: TimeRange,
  variables: Variables,
  theme: GrafanaTheme2,
  width: number,
  outcome: Outcome
): Promise<DataFrame[]> {
  let frames: DataFrame[] = [];
  for (const target of panel.targets ?? []) {
    frames.push(...framesOf(await ask(expand(target.query, variables, range, width, panel.interval ?? '60s')), target));
  }
  for (const step of panel.transformations ?? []) {
    if (!standardTransformersRegistry.getIfExists(step.id)) {
      outcome.errors.push(`panel ${panel.id}: unknown transformation ${step.id}`);
    }
  }
  if (panel.transformations) {
    frames = await lastValueFrom(transformDataFrame(panel.transformations, frames));
  }
  return applyFieldOverrides({
    data: frames,
    fieldConfig: { defaults: defaultsOf(panel), overrides: panel.fieldConfig?.overrides ?? [] },
    fieldConfigRegistry: registryOf(panel, outcome),
    replaceVariables: (text: string) => put(text, variables),
    theme,
    timeZone: 'utc',
  } as any);
}

/** What Grafana takes where a panel says nothing; thresholds begin at -Infinity, which JSON writes as null. */
function defaultsOf(panel: any) {
  const given = structuredClone(panel.fieldConfig?.defaults ?? {});
  for (const step of given.thresholds?.steps ?? []) {
    step.value = step.value ?? -Infinity;
  }
  const mode = panel.type === 'timeseries' ? FieldColorModeId.PaletteClassic : FieldColorModeId.Thresholds;
  const steps = [{ value: -Infinity, color: panel.type === 'table' ? 'text' : 'green' }];
  return { color: { mode }, thresholds: { mode: 'absolute', steps }, ...given };
}

/** Of the field options that the panel uses; one that Grafana does not know is an error. */
function registryOf(panel: any, outcome: Outcome) {
  const custom = new Set(Object.keys(panel.fieldConfig?.defaults?.custom ?? {}).map((name) => `custom.${name}`));
  for (const override of panel.fieldConfig?.overrides ?? []) {
    for (const property of override.properties) {
      if (property.id.startsWith('custom.')) {
        custom.add(property.id);
      } else if (!KNOWN.has(property.id)) {
        outcome.errors.push(`panel ${panel.id}: unknown field option ${property.id}`);
      }
    }
  }
  const items = [...[...KNOWN].map((id) => option(id, id, false)), ...[...custom].map((id) => option(id, id.slice(7), true))];
  return new FieldConfigOptionsRegistry(() => items);
}

function option(id: string, path: string, isCustom: boolean): any {
  const nothing = () => null;
  return {
    id, path, isCustom, name: id, editor: nothing, override: nothing,
    process: identityOverrideProcessor, shouldApply: () => true, settings: {},
  };
}

function body(panel: any, frames: DataFrame[], range: TimeRange, theme: GrafanaTheme2, width: number, height: number) {
  switch (panel.type) {
    case 'timeseries':
      return (
        <TimeSeries
          frames={frames}
          width={width}
          height={height}
          timeRange={range}
          timeZone="utc"
          legend={panel.options.legend}
          options={panel.options}
        />
      );
    case 'stat':
      return <Figures panel={panel} frames={frames} theme={theme} width={width} height={height} />;
    case 'bargauge':
      return <Bars panel={panel} frames={frames} theme={theme} width={width} height={height} />;
    case 'table':
      return (
        <TableNG
          data={frames[0]}
          width={width}
          height={height}
          structureRev={1}
          timeRange={range}
          fieldConfig={panel.fieldConfig}
          initialSortBy={panel.options.sortBy}
          transparent={false}
          showTypeIcons={false}
          frozenColumns={0}
        />
      );
    default:
      return <div dangerouslySetInnerHTML={{ __html: renderMarkdown(panel.options.content) }} />;
  }
}

function Figures({ panel, frames, theme, width, height }: any) {
  const values = valuesOf(panel, frames, theme);
  const each = Math.floor(width / Math.max(1, values.length));
  return (
    <div style={{ display: 'flex' }}>
      {values.map((value, index) => (
        <BigValue
          key={index}
          value={values.length > 1 ? value.display : { ...value.display, title: '' }}
          colorMode={panel.options.colorMode}
          graphMode={panel.options.graphMode}
          count={values.length}
          text={panel.options.text}
          justifyMode={panel.options.justifyMode}
          textMode={panel.options.textMode}
          width={each}
          height={height}
          theme={theme}
        />
      ))}
    </div>
  );
}

function Bars({ panel, frames, theme, width, height }: any) {
  const values = valuesOf(panel, frames, theme);
  const titles = values.map((value) => String(value.display.title));
  const longest = titles.reduce((one, other) => (other.length > one.length ? other : one), '');
  return (
    <div>
      {values.map((value, index) => (
        <BarGauge
          key={index}
          value={value.display}
          field={value.field}
          display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 1)}
          alignmentFactors={{ title: longest, text: '888.88 GB' }}
          text={panel.options.text}
          orientation={panel.options.orientation}
          displayMode={panel.options.displayMode}
          showUnfilled={panel.options.showUnfilled}
          width={width}
          height={Math.floor(height / values.length) - 4}
          itemSpacing={4}
          theme={theme}
        />
      ))}
    </div>
  );
}

function valuesOf(panel: any, frames: DataFrame[], theme: GrafanaTheme2) {
  return getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text: string) => text,
    data: frames,
    timeZone: 'utc',
    sparkline: false,
    theme,
  } as any);
}

function described(panel: any, title: string, frames: DataFrame[], theme: GrafanaTheme2): Drawn {
  const isFigure = panel.type === 'stat' || panel.type === 'bargauge';
  const values = isFigure ? valuesOf(panel, frames, theme).map((value) => formattedValueToString(value.display)) : [];
  return {
    id: panel.id,
    title,
    type: panel.type,
    rows: frames.reduce((sum, frame) => sum + frame.length, 0),
    fields: frames.flatMap((frame) => frame.fields.map((field) => getFieldDisplayName(field, frame, frames))),
    values,
  };
}
