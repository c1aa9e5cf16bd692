// Draws one dashboard: page.html?dashboard=NAME&theme=dark|light&from=MS&to=MS. What became of it is told in
// window.outcome, and the title is "done" when every panel has its data and two frames were painted.
import { createTheme, dateTime, standardTransformers, standardTransformersRegistry, ThemeContext, type TimeRange } from '@grafana/data';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { createRoot } from 'react-dom/client';

import { CELL, Panel, type Outcome } from './panels';
import { chosenVariables } from './queries';

const outcome: Outcome = { errors: [], drawn: [] };
(window as any).outcome = outcome;
window.addEventListener('error', (event) => outcome.errors.push(String(event.message)));
window.addEventListener('unhandledrejection', (event) => outcome.errors.push(String(event.reason)));

standardTransformersRegistry.setInit(() =>
  [...new Map(Object.values(standardTransformers).map((one: any) => [one.id, one])).values()].map((one: any) => ({
    id: one.id,
    name: one.name,
    transformation: async () => one,
    editor: () => null as any,
    imageDark: '',
    imageLight: '',
  }))
);

function rangeOf(from: number, to: number): TimeRange {
  return { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };
}

async function main() {
  const asked = new URLSearchParams(location.search);
  const dashboard = await (await fetch(`/dashboards/${asked.get('dashboard')}.json`)).json();
  const theme = createTheme({ colors: { mode: asked.get('theme') as 'dark' | 'light' } });
  const range = rangeOf(Number(asked.get('from')), Number(asked.get('to')));
  const variables = await chosenVariables(dashboard.templating.list, range);
  const bottom = Math.max(...dashboard.panels.map((panel: any) => panel.gridPos.y + panel.gridPos.h));
  const page = { position: 'relative' as const, width: 24 * CELL.width, height: bottom * (CELL.height + CELL.gap) };
  Object.assign(document.body.style, {
    margin: '8px',
    background: theme.colors.background.canvas,
    color: theme.colors.text.primary,
    font: `14px ${theme.typography.fontFamily}`,
  });
  createRoot(document.getElementById('root')!).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PortalContainer />
      <div style={page}>
        {dashboard.panels.map((panel: any) => (
          <Panel
            key={panel.id}
            panel={panel}
            range={range}
            variables={variables}
            theme={theme}
            outcome={outcome}
          />
        ))}
      </div>
    </ThemeContext.Provider>
  );
  await settled(dashboard.panels.length);
  document.title = 'done';
}

/** All panels have their data or an error, and have been painted with it. */
async function settled(panels: number) {
  while (outcome.drawn.length + outcome.errors.length < panels) {
    await new Promise(requestAnimationFrame);
  }
  for (let frame = 0; frame < 30; frame++) {
    await new Promise(requestAnimationFrame);
  }
}

main().catch((error) => {
  outcome.errors.push(String(error.stack ?? error));
  document.title = 'done';
});
