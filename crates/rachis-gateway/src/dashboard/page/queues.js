// What waits, and what no replica could finish.
import { age, failure, h, id, json, moment, number, panel, table } from './dom.js'
import { link, listing } from './app.js'

export const queues = (view) => listing(view, {
  title: 'Queues',
  service: 'queues',
  sort: { depth: -1 },
  hint: 'app or key',
  empty: 'No app has this in its name or key.',
  columns: [
    { title: 'App', sort: 'app', cell: (row) => row.id },
    { title: 'Waiting or under way', sort: 'depth', kind: 'num', cell: (row) => number(row.depth) },
    { title: 'Oldest', sort: 'age', kind: 'num', cell: (row) => (row.depth ? age(row.age) : '–') },
    { title: 'Given to replicas', sort: 'pending', kind: 'num', cell: (row) => number(row.pending) },
    { title: 'Replicas', kind: 'wrap', cell: (row) => Object.entries(row.replicas).slice(0, 12).map(([name, count]) => [link(`#/nodes/${name}`, id(name)), ` ${number(count)} `]) },
    { title: 'Dead letters', sort: 'dead_letters', kind: 'num', cell: (row) => (row.dead_letters ? link(`#/dead?of=${encodeURIComponent(row.id)}`, number(row.dead_letters)) : '0') }
  ]
})

/** Dead letters; one can be opened, made again and thrown away. */
export function dead (view, _, params) {
  const opened = h('div')
  const of = params.get('of')
  let writable = false
  view.read('overview', 'find').then((found) => { writable = found.writable }, () => {})
  const list = listing(view, {
    title: of ? `Dead letters of ${of}` : 'Dead letters',
    service: 'dead-letters',
    query: of ? { of } : {},
    sort: { buried: -1 },
    hint: 'app, path, reason or id',
    empty: 'None: every request found a replica that finished it.',
    above: () => opened,
    columns: [
      { title: 'Call', cell: (row) => [h('button.link', { type: 'button', onclick: () => open(row) }, row.call ? `${row.call.method} ${row.call.path}` : 'unreadable'), h('small.sub', `${row.key}/${row.app}`)] },
      { title: 'Why', kind: 'wrap', cell: (row) => row.reason },
      { title: 'Deliveries', sort: 'deliveries', kind: 'num', cell: (row) => number(row.deliveries) },
      { title: 'Set aside', sort: 'buried', cell: (row) => moment(row.buried) },
      { title: 'Replica', cell: (row) => link(`#/nodes/${row.replica}`, id(row.replica)) },
      { title: 'Size', sort: 'size', kind: 'num', cell: (row) => `${number(row.size)} B` }
    ]
  })

  function open (letter) {
    const outcome = h('div.outcome', { 'aria-live': 'polite' })
    const act = async (event, method) => {
      event.target.disabled = true
      try {
        const said = await view.read('dead-letters', method, { id: letter.id })
        outcome.replaceChildren(
          said.error ? failure(said.error) : h('p.good', method === 'replay' ? 'The call was answered.' : 'It is thrown away.'),
          said.result === undefined ? '' : json(said.result),
          h('p.muted', said.removed ? 'The letter is gone.' : 'The letter stays.'))
        if (said.removed) box.querySelector('.actions').remove()
      } catch (error) {
        outcome.replaceChildren(failure(error))
      } finally {
        event.target.disabled = false
        list.refresh()
      }
    }
    const discard = (event) => {
      const button = event.target
      if (button.dataset.sure) return act(event, 'discard')
      button.dataset.sure = 'yes'
      button.textContent = 'Throw it away for good?'
    }
    const box = panel(`Dead letter ${letter.letter}`,
      h('p.facts', h('span', letter.reason), h('span', `queued ${moment(letter.queued)}`), h('span', `given out ${letter.deliveries} times`), h('span', 'last had by ', link(`#/nodes/${letter.replica}`, id(letter.replica)))),
      letter.call ? json(letter.call) : h('p.empty', 'No replica could read it, so nothing of it is kept.'),
      h('div.actions',
        writable && letter.call ? h('button.primary', { type: 'button', onclick: (event) => act(event, 'replay') }, 'Call it again') : null,
        writable ? h('button', { type: 'button', onclick: discard }, 'Throw it away') : h('small.muted', 'This dashboard is read-only.'),
        h('button', { type: 'button', onclick: () => opened.replaceChildren() }, 'Close')),
      outcome)
    box.tabIndex = -1
    opened.replaceChildren(box)
    box.focus()
    box.scrollIntoView({ block: 'nearest' })
  }
}
