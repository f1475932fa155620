// The services of the mesh, and all of one.
import { latencies, rates, spark } from './charts.js'
import { age, h, id, json, number, panel, share, state, table, time } from './dom.js'
import { form } from './form.js'
import { link, listing } from './app.js'

const columns = [
  { title: 'Service', sort: 'path', cell: (row) => [link(`#/services/${encodeURIComponent(row.path)}`, row.path), h('small.sub', `${row.key}/${row.app}`)] },
  { title: 'State', cell: (row) => state(row.healthy ? 'up' : 'away') },
  { title: 'Replicas', sort: 'replicas', kind: 'num', cell: (row) => number(row.replicas) },
  { title: 'Calls/s', sort: 'rate', kind: 'num', cell: (row) => number(row.rate) },
  { title: 'Errors', sort: 'errors', kind: 'num', cell: (row) => h(row.errors > 0 ? 'span.bad' : 'span', share(row.errors, row.rate)) },
  { title: 'p95', sort: 'p95', kind: 'num', cell: (row) => time(row.p95) },
  { title: 'Calls, last hour', kind: 'sparks', cell: (row) => spark(row.rates, `Calls of ${row.path} within the last hour`) },
  { title: 'p95, last hour', kind: 'sparks wide', cell: (row) => spark(row.latencies, `Latency of ${row.path} within the last hour`) }
]

export const services = (view) => listing(view, {
  title: 'Services',
  service: 'services',
  columns,
  sort: { rate: -1 },
  hint: 'path, app or key',
  empty: 'No service has this in its path, app or key.'
})

/** One service. The form stays as it is while figures change. */
export function service (view, path) {
  const figures = h('div')
  const call = h('div')
  const described = h('div')
  view.show(h('p.crumb', link('#/services', 'Services'), ' / '), h('h1', path), figures, call, described)
  let made = false
  view.every(5000, async () => {
    const found = await view.read('services', 'get', path)
    const overview = made ? null : await view.read('overview', 'find')
    figures.replaceChildren(
      h('p.facts', state(found.healthy ? 'up' : 'away'), h('span', `served by ${found.key}/${found.app}`), h('span', `${found.replica_count} replica${found.replica_count === 1 ? '' : 's'}`),
        found.events.length ? h('span', `events: ${found.events.join(', ')}`) : null,
        found.others?.length ? h('span.warn', `replicas differ in their schemas: also version ${found.others.join(', ')}`) : null,
        found.unreadable ? h('span.warn', `schemas: ${found.unreadable}`) : null),
      h('div.charts', rates(found.chart), latencies(found.chart)),
      h('div.columns.service',
        panel('Methods, since its replicas started', table('Methods', [
          { title: 'Method', cell: (row) => h('code', row.method) },
          { title: 'Calls', kind: 'num', cell: (row) => number(row.calls) },
          { title: 'Errors', kind: 'num', cell: (row) => h(row.errors ? 'span.bad' : 'span', share(row.errors, row.calls)) },
          { title: 'p50', kind: 'num', cell: (row) => time(row.p50) },
          { title: 'p95', kind: 'num', cell: (row) => time(row.p95) },
          { title: 'p99', kind: 'num', cell: (row) => time(row.p99) }
        ], found.methods.map((method) => found.counted.find((row) => row.method === method) ?? { method, calls: 0, errors: 0 })),
        found.silent.length ? h('p.warn', `Not counted, since they do not answer: ${found.silent.length} replica${found.silent.length === 1 ? '' : 's'}`) : ''),
        panel('Replicas', table('Replicas', [
          { title: 'Node', cell: (row) => link(`#/nodes/${row.id}`, id(row.id)) },
          { title: 'Host', cell: (row) => row.host ?? '–' },
          { title: 'Version', cell: (row) => row.version || '–' },
          { title: 'Uptime', kind: 'num', cell: (row) => age(row.started && Date.now() - row.started) }
        ], found.replicas, { empty: 'None is up: calls wait for the next one.' })),
        panel('Callers, last hour', table('Callers', [
          { title: 'App', cell: (row) => row.app },
          { title: 'Calls/s', kind: 'num', cell: (row) => number(row.calls) },
          { title: 'Errors', kind: 'num', cell: (row) => h(row.errors > 0 ? 'span.bad' : 'span', share(row.errors, row.calls)) }
        ], found.callers, { empty: 'Nobody has called it.' }))))
    if (made) return
    made = true
    call.replaceChildren(panel('Call a method', form(view.client, found, overview.writable)))
    described.replaceChildren(panel('Schemas', found.schemas
      ? [found.schemas.description && h('p', found.schemas.description), h('details', h('summary', 'As JSON Schema'), json(found.schemas))]
      : h('p.empty', 'It has none: it takes anything.')))
  })
}
