// The frame of all pages: which one is shown, who has logged in, and whether the gateway answers.
import { Client } from './client.js'
import { failure, h, number, table } from './dom.js'
import { live } from './live.js'
import { node, nodes, overview } from './mesh.js'
import { dead, queues } from './queues.js'
import { service, services } from './services.js'
import { traffic } from './traffic.js'

const { services: below, sockets, authentication, username, password, anonymous } = document.body.dataset
const THEME = 'rachis-theme'
const PAGES = [
  ['', 'Overview', overview],
  ['nodes', 'Nodes', nodes, node],
  ['services', 'Services', services, service],
  ['traffic', 'Traffic', traffic],
  ['queues', 'Queues', queues],
  ['dead', 'Dead letters', dead],
  ['live', 'Live', live]
]

const top = document.querySelector('#top')
const nav = document.querySelector('#nav')
const main = document.querySelector('#main')
const notice = document.querySelector('#notice')
const client = new Client(sockets, authentication)
let current = null

export const link = (href, ...rest) => h('a', { href }, ...rest)

/** What a page works with for as long as it is shown. */
class View {
  #timers = new Set()
  isOver = false
  client = client

  show (...content) {
    this.error = h('div')
    main.replaceChildren(this.error, ...content)
  }

  /** Calls a method of a service of the dashboard. */
  read (name, method, ...rest) {
    return client.call(`${below}/${name}`, method, ...rest)
  }

  /** Runs `refresh` now, and then after each pause, while someone looks; returns what runs it at once. */
  every (pause, refresh) {
    let timer
    let running = false
    let again = false
    const run = async () => {
      clearTimeout(timer)
      if (this.isOver) return
      if (running) {
        again = true
        return
      }
      running = true
      try {
        // Nobody looks at a page in the background, and a text that is selected is not taken away.
        if (!document.hidden && client.connected) {
          await refresh()
          if (!this.isOver) this.error.replaceChildren()
        }
      } catch (error) {
        if (!this.isOver) this.fail(error)
      }
      running = false
      if (this.isOver) return
      if (again) {
        again = false
        return run()
      }
      timer = setTimeout(run, pause)
    }
    this.#timers.add({ stop: () => clearTimeout(timer), run })
    run()
    return run
  }

  fail (error) {
    if (error.code === 401 || error.code === 403) return logIn(error)
    if (error.code === undefined) console.error(error)
    this.error.replaceChildren(failure(error))
  }

  refresh () {
    this.#timers.forEach(({ run }) => run())
  }

  end () {
    this.isOver = true
    this.#timers.forEach(({ stop }) => stop())
  }
}

/** A page with a searched, sorted and cut list. */
export function listing (view, { title, service, columns, sort, hint, empty, query = {}, pause = 4000, above }) {
  let [sorted, skip, words] = [sort, 0, '']
  const limit = 50
  const search = h('input', {
    type: 'search',
    id: 'search',
    placeholder: hint,
    'aria-label': `Search by ${hint}`,
    autocomplete: 'off',
    spellcheck: 'false',
    oninput: () => {
      words = search.value
      skip = 0
      refresh()
    }
  })
  const top = h('div')
  const shown = h('div')
  const count = h('span.muted')
  view.show(h('div.head', h('h1', title), h('div.tools', count, search)), top, shown)
  const refresh = view.every(pause, async () => {
    const found = await view.read(service, 'find', { ...query, ...(words && { search: words }), $limit: limit, $skip: skip, $sort: sorted })
    count.textContent = words ? `${number(found.total)} found` : `${number(found.total)} in all`
    const onsort = (field, way) => {
      sorted = { [field]: way ? -way : 1 }
      skip = 0
      refresh()
    }
    const turn = (to) => () => {
      skip = to
      refresh()
    }
    const focused = document.activeElement?.closest?.('th')?.cellIndex
    const at = shown.querySelector('.table')?.scrollLeft ?? 0
    if (above) {
      const content = above(found)
      if (content !== top.firstChild) top.replaceChildren(content)
    }
    shown.replaceChildren(
      table(title, columns, found.data, { sorted, onsort, onrow: (row) => row.state === 'gone' ? 'gone' : undefined, empty: words ? empty : empty.startsWith('None') ? empty : 'Nothing here yet.' }),
      found.total > limit || skip
        ? h('p.pages', h('button', { type: 'button', disabled: !skip, onclick: turn(Math.max(0, skip - limit)) }, 'Back'),
          h('span', `${Math.min(skip + 1, found.total)} to ${Math.min(skip + limit, found.total)} of ${found.total}`),
          h('button', { type: 'button', disabled: skip + limit >= found.total, onclick: turn(skip + limit) }, 'Next'))
        : '')
    shown.querySelector('.table').scrollLeft = at
    if (focused !== undefined) shown.querySelectorAll('th')[focused]?.querySelector('button')?.focus()
  })
  return { refresh }
}

/** Asks for a login; `error` is why. */
function logIn (error) {
  current?.end()
  current = null
  const message = h('div')
  const busy = (button, act) => async (event) => {
    event.preventDefault()
    button.disabled = true
    try {
      await act()
    } catch (failed) {
      message.replaceChildren(failure(failed))
    }
    button.disabled = false
  }
  const field = (label, input) => h('div.field', h('label', { for: input.id }, label), input)
  const name = h('input', { id: 'name', name: 'username', autocomplete: 'username', required: true, autocapitalize: 'off', spellcheck: 'false' })
  const word = h('input', { id: 'word', type: 'password', autocomplete: 'current-password', required: true })
  const enter = h('button.primary', { type: 'submit' }, 'Log in')
  const token = h('input', { id: 'token', type: 'password', autocomplete: 'off', required: true })
  const take = h('button', { type: 'submit' }, 'Use it')
  const put = (dotted, value) => dotted.split('.').reduceRight((inner, part) => ({ [part]: inner }), value)
  if (error.code === 403) message.append(failure(error))
  main.replaceChildren(h('section.panel.login',
    h('h1', error.code === 403 ? 'Not for this login' : 'Log in'),
    h('p.muted', error.code === 403 ? 'The gateway shows this mesh to other users.' : 'The gateway shows this mesh to those who may see it.'),
    message,
    authentication
      ? [h('form', { onsubmit: busy(enter, () => client.logIn({ strategy: 'local', ...put(username, name.value), ...put(password, word.value) })) },
          field(username, name), field(password, word), h('div.actions', enter)),
        h('details', h('summary', 'With a token'), h('form', { onsubmit: busy(take, () => client.logIn({ strategy: 'jwt', accessToken: token.value.trim() })) }, field('token', token), h('div.actions', take)))]
      : h('p.empty', 'This gateway has no login service: set gateway.authentication_path.')))
  name.focus()
}

function theme (wanted) {
  if (wanted) localStorage.setItem(THEME, wanted)
  const chosen = localStorage.getItem(THEME) ?? 'auto'
  document.documentElement.dataset.theme = chosen
  return chosen
}

function frame () {
  const chosen = theme()
  const select = h('select', { id: 'theme', 'aria-label': 'Colours', onchange: (event) => theme(event.target.value) },
    [['auto', 'Auto'], ['light', 'Light'], ['dark', 'Dark']].map(([value, name]) => h('option', { value, selected: value === chosen }, name)))
  const who = client.user?.[username] ?? (client.token && client.user ? 'logged in' : anonymous === 'true' ? 'no login' : '')
  top.replaceChildren(...[
    h('a.brand', { href: '#/' }, h('span.mark', { 'aria-hidden': 'true' }), h('b', 'Rachis'), h('span.mesh', document.title === 'Mesh' ? '' : document.title)),
    h('span.space'),
    h(client.connected ? 'span.link.on' : 'span.link.off', { role: 'status' }, client.connected ? 'live' : 'not connected'),
    who && h('span.who', who),
    client.token && h('button.plain', { type: 'button', onclick: () => client.logOut() }, 'Log out'),
    select
  ].filter(Boolean))
  const page = place().name
  nav.replaceChildren(...PAGES.map(([name, title]) => h('a', { href: `#/${name}`, 'aria-current': page === name && 'page' }, title)))
  notice.textContent = client.connected ? '' : 'The gateway does not answer. What is shown is from before; it is tried again by itself.'
  notice.hidden = client.connected
}

/** Which page the address means. */
function place () {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?')
  const [name, ...rest] = path.split('/')
  let of = rest.join('/')
  try {
    of = decodeURIComponent(of)
  } catch {
    // It is taken as it is.
  }
  return { name, of, params: new URLSearchParams(query) }
}

function show () {
  current?.end()
  frame()
  const { name, of, params } = place()
  const page = PAGES.find(([known]) => known === name)
  current = new View()
  if (!page) {
    current.show(h('h1', 'No such page'), h('p', link('#/', 'Overview')))
    return
  }
  const [, , all, one] = page
  ;(of && one ? one : all)(current, of, params)
}

let shownTo
client.onChange(() => {
  frame()
  const who = JSON.stringify([client.token, client.user])
  if (!current || who !== shownTo) show()
  else if (client.connected) current.refresh()
  shownTo = who
  if (client.connected) name()
})

/** Puts the name of the mesh where it is read. */
async function name () {
  try {
    const { namespace } = await client.call(`${below}/overview`, 'find')
    document.title = namespace
    frame()
  } catch {
    // Who may not look is told so by the page.
  }
}

addEventListener('hashchange', () => {
  show()
  main.focus({ preventScroll: true })
  scrollTo(0, 0)
})
document.addEventListener('visibilitychange', () => document.hidden || current?.refresh())
addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return
  const search = document.querySelector('#search')
  if (!search) return
  event.preventDefault()
  search.focus()
})
frame()
main.replaceChildren(h('p.empty', 'Connecting to the gateway …'))
