// Elements and words. Whatever comes from the mesh becomes text, never markup.

/** An element: `h('a.link', { href: '#/' }, 'text', child)`. Properties named `on…` are listeners. */
export function h (what, ...rest) {
  const [name, ...classes] = what.split('.')
  const element = document.createElement(name)
  if (classes.length) element.className = classes.join(' ')
  fill(element, rest)
  return element
}

/** The same of SVG. */
export function s (what, ...rest) {
  const [name, ...classes] = what.split('.')
  const element = document.createElementNS('http:' + '//www.w3.org/2000/svg', name)
  if (classes.length) element.setAttribute('class', classes.join(' '))
  fill(element, rest)
  return element
}

function fill (element, rest) {
  const first = rest[0]
  const isProperties = first !== null && typeof first === 'object' && !(first instanceof Node) && !Array.isArray(first)
  if (isProperties) {
    rest.shift()
    for (const [key, value] of Object.entries(first)) {
      if (value === undefined || value === null || value === false) continue
      if (key.startsWith('on')) element.addEventListener(key.slice(2), value)
      else if (key === 'value') element.value = value
      else element.setAttribute(key, value === true ? '' : value)
    }
  }
  element.append(...rest.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false))
}

export const NONE = '–'

/** A number as people read it: 3 digits that matter. */
export function number (value) {
  if (value === null || value === undefined) return NONE
  const size = Math.abs(value)
  if (size >= 1e9) return `${short(value / 1e9)}G`
  if (size >= 1e6) return `${short(value / 1e6)}M`
  if (size >= 1e4) return `${short(value / 1e3)}k`
  return short(value)
}

function short (value) {
  const size = Math.abs(value)
  if (size >= 100 || Number.isInteger(value)) return String(Math.round(value))
  return size >= 10 ? value.toFixed(1) : size >= 0.01 ? String(Number(value.toFixed(2))) : value === 0 ? '0' : '<0.01'
}

/** Milliseconds. */
export function time (ms) {
  if (ms === null || ms === undefined) return NONE
  if (ms === 0) return '0'
  if (ms < 1) return `${Math.max(1, Math.round(ms * 1000))} µs`
  if (ms < 10) return `${ms.toFixed(1)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  return `${short(ms / 1000)} s`
}

/** How long something is there, in ms: the two largest units. */
export function age (ms) {
  if (ms === null || ms === undefined) return NONE
  const seconds = Math.max(0, Math.round(ms / 1000))
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60]
  if (days) return hours ? `${days} d ${hours} h` : `${days} d`
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`
  return minutes ? `${minutes} min` : `${seconds} s`
}

/** How long ago a beat was. */
export const beat = (ms) => (ms === null || ms === undefined ? NONE : ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : age(ms))

const two = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }
export const clock = (ms) => new Date(ms).toLocaleTimeString([], { ...two, second: '2-digit' })
export const minute = (ms) => new Date(ms).toLocaleTimeString([], two)
export const moment = (ms) => new Date(ms).toLocaleString([], { dateStyle: 'medium', timeStyle: 'medium' })

/** The share of errors. */
export function share (errors, calls) {
  if (errors === null || errors === undefined || calls === null || calls === undefined) return NONE
  if (!calls || !errors) return '0 %'
  const percent = errors / calls * 100
  return percent < 0.1 ? '<0.1 %' : `${short(percent)} %`
}

/** A label of a state, told by a word and a shape as well as by a colour. */
export const state = (name) => h(`span.state.${name}`, name)

/** A short id that can be told from others; the whole is its title. */
export const id = (text) => h('code.id', { title: text }, text.length > 12 ? `…${text.slice(-8)}` : text)

/** JSON with colours for what is what. */
export function json (value) {
  const text = JSON.stringify(value, null, 2) ?? 'null'
  const box = h('pre.json', { tabindex: '0' })
  const tokens = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*/g
  let last = 0
  const most = 60_000
  const shown = text.length > most ? text.slice(0, most) : text
  for (const token of shown.matchAll(tokens)) {
    box.append(shown.slice(last, token.index))
    const kind = token[2] ? 'key' : token[1] ? 'text' : 'value'
    box.append(h(`span.${kind}`, token[1] ?? token[0]), token[2] ?? '')
    last = token.index + token[0].length
  }
  box.append(shown.slice(last), text.length > most ? `\n… and ${number(text.length - most)} characters more` : '')
  return box
}

/** A table; `columns` are `{ title, cell, sort?, class? }`. */
export function table (caption, columns, rows, { sorted, onsort, empty, onrow } = {}) {
  const head = columns.map(({ title, sort, kind }) => {
    if (!sort || !onsort) return h('th', { scope: 'col', class: kind }, title)
    const way = sorted?.[sort]
    return h('th', { scope: 'col', class: kind, 'aria-sort': way ? (way > 0 ? 'ascending' : 'descending') : 'none' },
      h('button.sort', { type: 'button', onclick: () => onsort(sort, way) }, title, h('span.arrow', { 'aria-hidden': 'true' }, way ? (way > 0 ? '↑' : '↓') : '')))
  })
  const body = rows.map((row) => h('tr', { class: onrow?.(row) }, columns.map(({ cell, kind, title }) => h('td', { class: kind, 'data-title': title }, cell(row)))))
  return h('div.table', { tabindex: '0', role: 'region', 'aria-label': caption },
    h('table', h('caption.hidden', caption), h('thead', h('tr', head)), h('tbody', body)),
    rows.length === 0 && h('p.empty', empty ?? 'Nothing here.'))
}

/** A box with a heading. */
export const panel = (title, ...rest) => h('section.panel', h('h2', title), ...rest)

/** What failed, and what can be done. */
export function failure (error) {
  const help = {
    401: 'Log in to see it.',
    403: 'Ask who runs this mesh for the role, or look with another login.',
    404: 'It may have left a moment ago.',
    503: 'It is tried again by itself.'
  }[error.code]
  return h('div.failure', { role: 'alert' }, h('b', error.code ? `${error.code} ${error.name}` : error.name), ' ', error.message, help && h('span.muted', ` ${help}`))
}
