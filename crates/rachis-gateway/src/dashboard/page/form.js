// A form for a method, made from the JSON Schema of its data, and what the call came to.
import { failure, h, json, time } from './dom.js'

const READS = ['find', 'get']
const TAKES_ID = ['get', 'update', 'patch', 'remove']
const STANDARD = ['find', 'get', 'create', 'update', 'patch', 'remove']

/** What a reference leads to, inside of `root`; what leads nowhere, or in circles, is open. */
function resolve (schema, root, depth = 0) {
  if (!schema || typeof schema !== 'object') return {}
  if (typeof schema.$ref !== 'string' || depth > 20) return schema
  const found = schema.$ref.split('/').slice(1).reduce((at, part) => at?.[decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')], root)
  return { ...resolve(found, root, depth + 1), ...Object.fromEntries(Object.entries(schema).filter(([key]) => key !== '$ref')) }
}

/** A schema that also allows null, as the one without it. */
function plain (schema, root) {
  const resolved = resolve(schema, root)
  const either = resolved.anyOf ?? resolved.oneOf
  if (either) {
    const rest = either.map((one) => resolve(one, root)).filter(({ type }) => type !== 'null')
    if (rest.length === 1) return { ...resolved, ...rest[0], anyOf: undefined, oneOf: undefined }
    if (rest.length && rest.every((one) => 'const' in one)) return { ...resolved, enum: rest.map((one) => one.const) }
  }
  if (Array.isArray(resolved.type)) {
    const types = resolved.type.filter((type) => type !== 'null')
    if (types.length === 1) return { ...resolved, type: types[0] }
  }
  return resolved
}

let fields = 0

/** A field for one property; `read` returns its value, and `undefined` where nothing was said. */
function field (name, schema, root, required) {
  const id = `field-${++fields}`
  const { type, enum: choices, title, description, default: fallback } = plain(schema, root)
  const given = plain(schema, root)
  const hints = { id, required: required && type !== 'boolean', 'aria-describedby': description ? `${id}-help` : undefined }
  let input
  let read
  if (choices) {
    const options = choices.map((choice) => (typeof choice === 'string' ? choice : JSON.stringify(choice)))
    input = h('select', hints, !required && h('option', { value: '' }, ''), options.map((option) => h('option', { value: option }, option)))
    read = () => (input.value === '' ? undefined : choices[options.indexOf(input.value)])
  } else if (type === 'boolean') {
    input = h('input', { ...hints, type: 'checkbox' })
    input.checked = fallback === true
    read = () => input.checked
  } else if (type === 'integer' || type === 'number') {
    input = h('input', { ...hints, type: 'number', step: type === 'integer' ? 1 : 'any', min: given.minimum, max: given.maximum, inputmode: 'decimal' })
    read = () => (input.value === '' ? undefined : Number(input.value))
  } else if (type === 'string') {
    const isSecret = /pass(word|phrase)|secret|token/i.test(name)
    input = h('input', { ...hints, type: isSecret ? 'password' : 'text', minlength: given.minLength, maxlength: given.maxLength, autocomplete: 'off', spellcheck: 'false' })
    read = () => (input.value === '' && !required ? undefined : input.value)
  } else {
    input = h('textarea', { ...hints, rows: 3, spellcheck: 'false', placeholder: type === 'array' ? '[ ]' : 'JSON' })
    read = () => (input.value.trim() === '' ? undefined : parse(input.value, name))
  }
  if (fallback !== undefined && type !== 'boolean') input.value = typeof fallback === 'string' ? fallback : JSON.stringify(fallback)
  const label = h('label', { for: id }, title && title !== name ? `${name} (${title})` : name, required && h('span.required', { title: 'required' }, ' *'))
  const row = h(type === 'boolean' ? 'div.field.check' : 'div.field', label, input, description && h('small.muted', { id: `${id}-help` }, description))
  return { row, name, read }
}

function parse (text, what) {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw Object.assign(new Error(`${what} is no JSON: ${error.message}`), { name: 'Input' })
  }
}

/** An example of what a schema takes, to begin with. */
function example (schema, root, depth = 0) {
  const { type, properties = {}, required = [], enum: choices, default: fallback } = plain(schema, root)
  if (fallback !== undefined) return fallback
  if (choices) return choices[0]
  if (type === 'object' && depth < 3) return Object.fromEntries(required.filter((name) => properties[name]).map((name) => [name, example(properties[name], root, depth + 1)]))
  return { string: '', integer: 0, number: 0, boolean: false, array: [] }[type] ?? {}
}

/** The form of a service; `service` is what `services.get` tells of it. */
export function form (client, service, writable) {
  const { path, methods, schemas = {} } = service
  const allowed = methods.filter((method) => writable || READS.includes(method))
  if (!allowed.length) return h('p.empty', 'This dashboard is read-only, and the service has nothing to read.')
  const chosen = h('select', { id: 'method', onchange: () => show() }, allowed.map((method) => h('option', { value: method }, method)))
  const inputs = h('div.inputs')
  const outcome = h('div.outcome', { 'aria-live': 'polite' })
  const send = h('button.primary', { type: 'submit' }, 'Call')
  let read

  function show () {
    const method = chosen.value
    const schema = schemas.data?.[method]
    const rows = []
    const parts = {}
    if (schemas.methods?.[method]) rows.push(h('p.muted', schemas.methods[method]))
    if (TAKES_ID.includes(method)) {
      const input = h('input', { id: 'call-id', type: 'text', required: true, autocomplete: 'off', spellcheck: 'false' })
      rows.push(h('div.field', h('label', { for: 'call-id' }, 'id', h('span.required', ' *')), input))
      // Services that count use numbers, and the id in a path is text either way.
      parts.id = () => (/^(0|[1-9]\d{0,14})$/.test(input.value) ? Number(input.value) : input.value)
    }
    if (!['find', 'get', 'remove'].includes(method)) {
      const described = schema && plain(schema, schema)
      if (described?.type === 'object' && Object.keys(described.properties ?? {}).length) {
        const all = Object.entries(described.properties).map(([name, one]) => field(name, one, schema, described.required?.includes(name)))
        rows.push(...all.map(({ row }) => row))
        parts.data = () => Object.fromEntries(all.map(({ name, read }) => [name, read()]).filter(([, value]) => value !== undefined))
      } else {
        const input = h('textarea', { id: 'call-data', rows: 5, spellcheck: 'false' })
        input.value = JSON.stringify(schema ? example(schema, schema) : {}, null, 2)
        rows.push(h('div.field', h('label', { for: 'call-data' }, 'data, as JSON'), input))
        parts.data = () => parse(input.value, 'data')
      }
    }
    const query = h('textarea', { id: 'call-query', rows: 2, spellcheck: 'false', placeholder: method === 'find' ? '{ "$limit": 10 }' : '{ }' })
    if (method === 'find') query.value = '{ "$limit": 10 }'
    rows.push(h('div.field', h('label', { for: 'call-query' }, 'query, as JSON'), query))
    parts.query = () => (query.value.trim() ? parse(query.value, 'query') : {})
    inputs.replaceChildren(...rows)
    read = () => [...(parts.id ? [parts.id()] : []), ...(parts.data ? [parts.data()] : []), parts.query()]
  }

  async function call (event) {
    event.preventDefault()
    const method = chosen.value
    let args
    try {
      args = read()
    } catch (error) {
      outcome.replaceChildren(failure(error))
      return
    }
    send.disabled = true
    const started = performance.now()
    try {
      const result = await client.call(path, method, ...args)
      outcome.replaceChildren(h('p.good', h('b', 'Answered'), ` after ${time(performance.now() - started)}`), json(result))
    } catch (error) {
      const details = { ...(error.data !== undefined && { data: error.data }), ...(error.errors !== undefined && { errors: error.errors }) }
      outcome.replaceChildren(failure(error), h('p.muted', `after ${time(performance.now() - started)}`), Object.keys(details).length ? json(details) : '')
    } finally {
      send.disabled = false
    }
  }

  show()
  const custom = allowed.some((method) => !STANDARD.includes(method))
  return h('form.call', { onsubmit: call, novalidate: false },
    h('div.field', h('label', { for: 'method' }, custom ? 'method' : 'method'), chosen), inputs,
    h('div.actions', send, h('small.muted', 'It is called as you, and may do what any call of yours may.')), outcome)
}
