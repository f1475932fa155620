// Who calls whom, as a picture: apps that call at the left, apps that serve at the right.
import { h, number, panel, s, share, table } from './dom.js'
import { link } from './app.js'

/** Apps on one side of the picture; the rest is one. */
const MOST = 14

function sides (edges, of) {
  const sums = new Map()
  for (const edge of edges) sums.set(edge[of], (sums.get(edge[of]) ?? 0) + edge.calls)
  const all = [...sums].sort(([, a], [, b]) => b - a)
  const shown = all.slice(0, MOST).map(([name]) => name)
  if (all.length > MOST) shown.push('others')
  return { shown, at: (name) => (shown.includes(name) ? name : 'others') }
}

function picture (edges, chosen, choose) {
  const [width, row, top] = [760, 38, 30]
  const from = sides(edges, 'from')
  const to = sides(edges, 'to')
  const rows = Math.max(from.shown.length, to.shown.length)
  const height = top + rows * row + 6
  const place = (side, name) => top + (side.shown.indexOf(name) + 0.5 + (rows - side.shown.length) / 2) * row
  const [left, right] = [250, width - 250]
  const sums = new Map()
  for (const edge of edges) {
    const key = JSON.stringify([from.at(edge.from), to.at(edge.to)])
    const sum = sums.get(key) ?? { from: from.at(edge.from), to: to.at(edge.to), calls: 0, errors: 0 }
    sum.calls += edge.calls
    sum.errors += edge.errors
    sums.set(key, sum)
  }
  const most = Math.max(...[...sums.values()].map(({ calls }) => calls), 0.001)
  const box = s('svg.traffic', { viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': 'Who calls whom' },
    s('text.side', { x: left, y: 16, 'text-anchor': 'end' }, 'callers'), s('text.side', { x: right, y: 16 }, 'served by'))
  for (const sum of [...sums.values()].sort((a, b) => a.calls - b.calls)) {
    const [y1, y2] = [place(from, sum.from), place(to, sum.to)]
    const middle = (left + right) / 2
    const isOn = !chosen || chosen === sum.from || chosen === sum.to
    const kind = ['edge', sum.errors / sum.calls > 0.01 ? 'failing' : '', isOn ? '' : 'faint'].filter(Boolean).join('.')
    box.append(s(`path.${kind}`, { d: `M${left + 12} ${y1}C${middle} ${y1} ${middle} ${y2} ${right - 12} ${y2}`, 'stroke-width': (1 + 9 * Math.sqrt(sum.calls / most)).toFixed(1) },
      s('title', `${sum.from} → ${sum.to}: ${number(sum.calls)} calls a second, ${share(sum.errors, sum.calls)} errors`)))
    if (isOn && (chosen || sums.size <= 12)) box.append(s('text.rate', { x: middle, y: (y1 + y2) / 2 - 4, 'text-anchor': 'middle' }, `${number(sum.calls)}/s`))
  }
  const label = (side, name, x, anchor) => {
    const y = place(side, name)
    const text = name.length > 30 ? `…${name.slice(-29)}` : name
    const isOn = chosen === name
    const act = () => choose(isOn ? null : name)
    box.append(s(isOn ? 'g.app.chosen' : 'g.app', { tabindex: '0', role: 'button', 'aria-pressed': String(isOn), 'aria-label': `${name}: show only its calls`, 'data-app': `${anchor} ${name}`, onclick: act, onkeydown: (event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); act() } } },
      s('rect', { x: anchor === 'end' ? 4 : x - 8, y: y - 13, width: anchor === 'end' ? x + 4 : width - x + 4, height: 26, rx: 6 }),
      s('circle', { cx: anchor === 'end' ? left + 6 : right - 6, cy: y, r: 4 }),
      s('text', { x: anchor === 'end' ? x - 6 : x + 2, y: y + 4, 'text-anchor': anchor }, text)))
  }
  from.shown.forEach((name) => label(from, name, left, 'end'))
  to.shown.forEach((name) => label(to, name, right, 'start'))
  return h('div.picture', { tabindex: '0', role: 'region', 'aria-label': 'Picture of who calls whom' }, box)
}

export function traffic (view) {
  const shown = h('div')
  let chosen = null
  let edges = []
  let total = 0
  const span = h('select', { id: 'span', onchange: () => refresh() }, [[1, 'last minute'], [5, 'last 5 minutes'], [60, 'last hour']].map(([minutes, name]) => h('option', { value: minutes }, name)))
  span.value = '5'
  view.show(h('div.head', h('h1', 'Traffic'), h('div.tools', h('label.hidden', { for: 'span' }, 'Time'), span)), shown)

  function draw () {
    const focused = document.activeElement?.dataset?.app
    const some = edges.filter((edge) => !chosen || edge.from === chosen || edge.to === chosen)
    shown.replaceChildren(
      edges.length ? picture(edges, chosen, (name) => { chosen = name; draw() }) : h('p.empty', 'Nobody has called anyone within this time, as far as nodes have told.'),
      total > edges.length ? h('p.muted', `The ${edges.length} busiest of ${total}.`) : '',
      panel(chosen ? `Calls of and to ${chosen}` : 'Calls', table('Calls', [
        { title: 'Caller', cell: (row) => row.from },
        { title: 'Service', cell: (row) => (row.path === '(others)' ? row.path : link(`#/services/${encodeURIComponent(row.path)}`, row.path)) },
        { title: 'Served by', cell: (row) => row.to },
        { title: 'Calls/s', kind: 'num', cell: (row) => number(row.calls) },
        { title: 'Errors', kind: 'num', cell: (row) => h(row.errors > 0 ? 'span.bad' : 'span', share(row.errors, row.calls)) }
      ], some.slice(0, 60))))
    if (focused) [...shown.querySelectorAll('[data-app]')].find((element) => element.dataset.app === focused)?.focus()
  }

  const refresh = view.every(5000, async () => {
    const found = await view.read('traffic', 'find', { minutes: Number(span.value) })
    edges = found.edges.map((edge) => ({ ...edge, to: edge.to ?? (edge.path === '(others)' ? '(others)' : '(gone)') }))
    total = found.total
    draw()
  })
}
