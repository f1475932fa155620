// The mesh as a whole, its nodes, and all of one.
import { latencies, rates, spark } from './charts.js'
import { age, beat, h, id, moment, number, panel, share, state, table, time } from './dom.js'
import { link, listing } from './app.js'

const figure = (name, value, more, kind) => h(kind ? `div.figure.${kind}` : 'div.figure', h('span.name', name), h('span.value', value), h('span.more', more ?? ''))

/** How full a node is. */
function load ({ in_flight: now, max_in_flight: most }) {
  if (now === null || now === undefined) return '–'
  const part = most ? Math.min(1, now / most) : 0
  const meter = h('meter', { min: 0, max: 1, high: 0.8, low: 0.5, optimum: 0, value: part, 'aria-label': 'load' })
  return h('span.load', { title: `${now} of ${most ?? '?'} requests under way` }, meter, h('span', most ? `${number(now)}/${number(most)}` : number(now)))
}

export function overview (view) {
  const top = h('div')
  view.show(h('h1', 'Overview'), top)
  view.every(3000, async () => {
    const [mesh, busiest, queues, nodes] = await Promise.all([
      view.read('overview', 'find'),
      view.read('services', 'find', { $limit: 6, $sort: { rate: -1 } }),
      view.read('queues', 'find', { $limit: 6, $sort: { depth: -1 } }).catch((error) => error),
      view.read('nodes', 'find', { $limit: 8, $sort: { rate: -1 } })
    ])
    const troubles = [
      !mesh.redis && 'Redis does not answer the gateway: what is shown is from before, and calls wait.',
      mesh.away.length && `No replica is up for ${mesh.away.join(', ')}: calls wait for the next one.`,
      mesh.answered < mesh.nodes && `${mesh.answered} of ${mesh.nodes} nodes have told of their last hour so far.`,
      mesh.is_full && 'There are more services, edges or nodes than charts are kept of: the sums have all of them.'
    ].filter(Boolean)
    const isQueues = Array.isArray(queues.data)
    const waiting = isQueues ? queues.data.reduce((sum, { depth }) => sum + depth, 0) : null
    const dead = isQueues ? queues.data.reduce((sum, row) => sum + row.dead_letters, 0) : null
    top.replaceChildren(
      troubles.length ? h('ul.troubles', troubles.map((text) => h('li', text))) : '',
      h('div.figures',
        figure('Calls a second', number(mesh.rate), 'last minute'),
        figure('Errors', share(mesh.errors, mesh.rate), `${number(mesh.errors)} a second`, mesh.errors > 0 && 'bad'),
        figure('p95', time(mesh.p95), 'last minute'),
        figure('Nodes', number(mesh.nodes), [`${mesh.apps} apps`, mesh.draining && `${mesh.draining} draining`, mesh.gone && `${mesh.gone} gone`].filter(Boolean).join(', ')),
        figure('Services', number(mesh.services), mesh.away.length ? `${mesh.away.length} without a replica` : 'all have a replica', mesh.away.length && 'bad'),
        figure('Waiting', number(waiting), dead ? `${number(dead)} dead letters` : dead === 0 ? 'no dead letters' : 'not known', dead && 'warn')),
      h('div.charts', rates(mesh.chart), latencies(mesh.chart)),
      h('div.columns.two',
        panel('Busiest services', table('Busiest services', [
          { title: 'Service', cell: (row) => link(`#/services/${encodeURIComponent(row.path)}`, row.path) },
          { title: 'Calls/s', kind: 'num', cell: (row) => number(row.rate) },
          { title: 'Errors', kind: 'num', cell: (row) => h(row.errors > 0 ? 'span.bad' : 'span', share(row.errors, row.rate)) },
          { title: 'p95', kind: 'num', cell: (row) => time(row.p95) },
          { title: 'Last hour', kind: 'sparks', cell: (row) => spark(row.rates, `Calls of ${row.path} within the last hour`) }
        ], busiest.data, { empty: 'No service yet: start one, and it appears here.' }), busiest.total > busiest.data.length ? h('p.more', link('#/services', `all ${busiest.total} services`)) : ''),
        panel('Nodes', table('Nodes', [
          { title: 'Node', cell: (row) => [link(`#/nodes/${row.id}`, row.app), ' ', id(row.id)] },
          { title: 'State', cell: (row) => state(row.state) },
          { title: 'Load', cell: load },
          { title: 'Beat', kind: 'num', cell: (row) => beat(row.beat) }
        ], nodes.data), nodes.total > nodes.data.length ? h('p.more', link('#/nodes', `all ${nodes.total} nodes`)) : '')))
  })
}

const columns = [
  { title: 'Node', sort: 'app', cell: (row) => [link(`#/nodes/${row.id}`, row.app), h('small.sub', id(row.id), row.is_self ? ' this gateway' : '')] },
  { title: 'State', sort: 'state', cell: (row) => [state(row.state), row.failure ? h('small.sub.warn', { title: row.failure }, 'does not answer') : ''] },
  { title: 'Beat', sort: 'beat', kind: 'num', cell: (row) => (row.state === 'gone' ? `gone ${age(row.gone * 1000)}` : beat(row.beat)) },
  { title: 'Load', sort: 'in_flight', cell: load },
  { title: 'Calls/s', sort: 'rate', kind: 'num', cell: (row) => number(row.rate) },
  { title: 'p95', sort: 'p95', kind: 'num', cell: (row) => time(row.p95) },
  { title: 'Calls, last hour', kind: 'sparks', cell: (row) => spark(row.rates, `Calls of this node within the last hour`) },
  { title: 'Version', sort: 'version', cell: (row) => row.version || '–' },
  { title: 'Uptime', sort: 'started', kind: 'num', cell: (row) => (row.state === 'gone' ? '–' : age(Date.now() - row.started)) },
  { title: 'Host', sort: 'host', cell: (row) => [row.host, h('small.sub', `pid ${row.pid}`)] }
]

export const nodes = (view) => listing(view, {
  title: 'Nodes',
  service: 'nodes',
  columns,
  sort: { app: 1 },
  hint: 'app, host, version or id',
  empty: 'No node has this in its app, host, version or id.',
  pause: 2000,
  above: (page) => (page.redis ? '' : h('p.warn', 'Redis does not answer the gateway: beats are not known.'))
})

const methods = (title, rows) => panel(title, table(title, [
  { title: 'Service', cell: (row) => link(`#/services/${encodeURIComponent(row.path)}`, row.path) },
  { title: 'Method', cell: (row) => h('code', row.method) },
  { title: 'Calls', kind: 'num', cell: (row) => number(row.calls) },
  { title: 'Errors', kind: 'num', cell: (row) => h(row.errors ? 'span.bad' : 'span', share(row.errors, row.calls)) },
  { title: 'p50', kind: 'num', cell: (row) => time(row.p50) },
  { title: 'p95', kind: 'num', cell: (row) => time(row.p95) },
  { title: 'p99', kind: 'num', cell: (row) => time(row.p99) }
], rows ?? [], { empty: 'None so far.' }))

export function node (view, name) {
  const figures = h('div')
  const heading = h('h1', id(name))
  view.show(h('p.crumb', link('#/nodes', 'Nodes'), ' / '), heading, figures)
  view.every(3000, async () => {
    const found = await view.read('nodes', 'get', name)
    heading.replaceChildren(`${found.app} `, id(found.id))
    if (found.state === 'gone') {
      figures.replaceChildren(h('p.facts', state('gone'), h('span', `It left the mesh ${age(found.gone * 1000)} ago, or died. What it kept of its last hour went with it.`)),
        h('p.facts', h('span', `host ${found.host}, pid ${found.pid}`), h('span', `started ${moment(found.started)}`)))
      return
    }
    figures.replaceChildren(
      h('p.facts', state(found.state), h('span', `key ${found.key}`), h('span', `version ${found.version || '–'}`), h('span', `host ${found.host}, pid ${found.pid}`), h('span', `up ${age(Date.now() - found.started)}`), h('span', `beat ${beat(found.beat)} ago`),
        h('code.whole', found.id)),
      found.failure ? h('p.warn', `It does not answer: ${found.failure}`) : '',
      h('div.figures',
        figure('Load', found.in_flight === null ? '–' : number(found.in_flight), `of ${number(found.max_in_flight)} requests`),
        figure('Waits for', number(found.pending), 'calls to others'),
        figure('Calls a second', number(found.rate), 'last minute'),
        figure('Events', number(found.events_out), `out, ${number(found.events_in)} in`),
        figure('Redeliveries', number(found.redeliveries), 'since it started'),
        figure('Dead letters', number(found.dead_letters), 'set aside by it')),
      h('div.charts', rates(found.chart), latencies(found.chart)),
      h('div.columns.two', methods('Ran here for others', found.requests), methods('Called from here', found.calls)),
      panel('Services', found.services.length ? h('p.tags', found.services.slice(0, 100).map((path) => link(`#/services/${encodeURIComponent(path)}`, path)), found.services.length > 100 ? ` and ${found.services.length - 100} more` : '') : h('p.empty', 'It serves none to others.')))
  })
}
