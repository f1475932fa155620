// What happens right now: calls of nodes that permit it, events, and nodes and services that come and go.
import { clock, h, number, table, time } from './dom.js'
import { link } from './app.js'

/** What is shown, and what is kept for other filters. */
const SHOWN = 120
const KEPT = 1000

export function live (view) {
  let from = null
  let kept = []
  let missed = 0
  let words = ''
  let paused = false
  const kinds = { call: true, event: true, change: true }
  let failed = false
  const facts = h('div')
  const shown = h('div')
  const check = (name, isOn, set) => {
    const input = h('input', { type: 'checkbox', onchange: () => { set(input.checked); draw() } })
    input.checked = isOn
    return h('label.toggle', input, name)
  }
  const pause = h('button', { type: 'button', 'aria-pressed': 'false', onclick: () => {
    paused = !paused
    pause.setAttribute('aria-pressed', String(paused))
    pause.textContent = paused ? 'Go on' : 'Pause'
    draw()
  } }, 'Pause')
  const search = h('input', { type: 'search', id: 'search', placeholder: 'path, method, caller', 'aria-label': 'Search by path, method or caller', autocomplete: 'off', oninput: () => { words = search.value.trim().toLowerCase(); draw() } })
  view.show(h('div.head', h('h1', 'Live'), h('div.tools', pause, search)),
    h('div.toggles', check('calls', true, (on) => { kinds.call = on }), check('events', true, (on) => { kinds.event = on }), check('nodes and services', true, (on) => { kinds.change = on }), check('only errors', false, (on) => { failed = on })),
    facts, shown)

  let frozen = null
  function draw () {
    frozen = paused ? frozen ?? kept : null
    const all = (frozen ?? kept).filter((one) => kinds[one.kind] && (!failed || one.code) &&
      (!words || [one.path, one.method, one.name, one.caller, one.outcome].some((text) => text?.toLowerCase().includes(words))))
    const rows = all.slice(-SHOWN).reverse()
    shown.replaceChildren(table('What happens', [
      { title: 'Time', cell: (row) => h('code', clock(row.at)) },
      { title: 'What', cell: (row) => (row.kind === 'call' ? h('span', row.method) : h(`span.tag.${row.kind}`, row.kind === 'event' ? `event ${row.name}` : row.name)) },
      { title: 'Service', cell: (row) => (row.kind === 'change' ? row.path : link(`#/services/${encodeURIComponent(row.path)}`, row.path)) },
      { title: 'Outcome', cell: (row) => (row.kind === 'call' ? h(row.code ? 'span.bad' : 'span.good', row.code ? `${row.code} ${row.outcome}` : 'ok') : '') },
      { title: 'Took', kind: 'num', cell: (row) => (row.kind === 'call' ? time(row.took) : '') },
      { title: 'Caller', cell: (row) => (row.kind === 'call' ? [link(`#/nodes/${row.node}`, row.caller), row.provider ? h('small.muted', ` by ${row.provider}`) : ''] : '') }
    ], rows, { empty: paused ? 'Paused.' : 'Nothing has happened yet, of what is chosen here.' }))
  }

  view.every(1000, async () => {
    const said = await view.read('feed', 'find', from === null ? {} : { from })
    from = said.next
    missed += said.missed
    kept = [...kept, ...said.happened].slice(-KEPT)
    const notes = [
      !said.tapped && said.refused && 'No node permits to watch its calls: tap = true in the configuration of a node does.',
      said.tapped && said.refused && `${said.refused} of ${said.refused + said.tapped} nodes do not permit to watch their calls.`,
      said.silent && `${said.silent} nodes do not answer.`,
      said.unasked && `${said.unasked} more nodes are not watched: a feed has 50.`,
      (said.dropped + missed) && `${number(said.dropped + missed)} calls came faster than they could be told, and are left out.`
    ].filter(Boolean)
    facts.replaceChildren(notes.length ? h('ul.troubles', notes.map((text) => h('li', text))) : '')
    if (!paused) draw()
  })
  draw()
}
