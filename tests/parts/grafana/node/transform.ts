// The transformations of panels, by the @grafana/data of Grafana 9.2. Standard input: a list of
// {panel, answers: [series of each target]}. Standard output: of each panel what its columns are called and hold.
import {
  getFieldDisplayName,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
  type DataFrame,
} from '@grafana/data';
import { lastValueFrom } from 'rxjs';

import { framesOf } from './frames';
import type { Series } from './queries';

interface Asked {
  panel: any;
  answers: Series[][];
}

standardTransformersRegistry.setInit(() =>
  [...new Map(Object.values(standardTransformers).map((one: any) => [one.id, one])).values()].map(
    (one: any) => ({ id: one.id, name: one.name, transformation: one, editor: () => null }) as any
  )
);

async function columnsOf({ panel, answers }: Asked) {
  const frames = answers.flatMap((series, index) => framesOf(series, panel.targets[index]));
  const found: DataFrame[] = await lastValueFrom(transformDataFrame(panel.transformations, frames));
  return found.flatMap((frame) =>
    frame.fields.map((field) => ({
      name: getFieldDisplayName(field, frame, found),
      values: (field.values as any).toArray(), // Grafana 9.2 has vectors
    }))
  );
}

let text = '';
process.stdin.on('data', (part) => (text += part));
process.stdin.on('end', async () => {
  const asked: Asked[] = JSON.parse(text);
  const told = await Promise.all(asked.map(columnsOf));
  process.stdout.write(JSON.stringify(told));
});
