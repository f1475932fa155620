// Query strings and forms, compared with the package `qs`: with the settings that Express gives it where these lose
// nothing, and with its strict settings for what lies beyond. The order of keys counts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import qs from 'qs'
import { random } from '../lib/random.mjs'

const gateway = process.env.CONFORMANCE_URL
// The defaults of `gateway.query`.
const [PARAMETERS, DEPTH, SPARSE] = [10_000, 32, 20]
// Never the same inputs by chance, always the same inputs for one seed.
const SEED = Number(process.env.SEED ?? 20_261_130)

const NAMES = ['a', 'b', '$sort', '$or', '$in', '$limit', 'name', 'z', '0', '1', '7', '10', '19', 'a.b', 'toString', 'constructor',
  '__proto__', 'hasOwnProperty', 'length', 'é', '😀', '', '%20', '+', '%', '%zz', '%5B', '%E4', '%00', '07', '-1', '1.0', ' ']
const INNER = [...NAMES, '', '', '0', '1', '2', '3', '19', '40', '4294', '99999999999999999999']
const VALUES = ['1', '', 'x', 'a,b', 'null', 'true', '%20', 'a+b', '%', '%zz', '%C3%28', '%ED%A0%80', '%F0%9F%98%80', '[', ']', 'a=b',
  'x]=y', '%5B%5D', '__proto__', 'constructor', '%26%2310003%3B', '%u1234', '%00', '{"a":1}']
const OPEN = ['[', '%5B', '%5b']
const CLOSE = [']', '%5D', '%5d']

/** A query string of some parameters, mostly well formed and mostly about few keys, so that these meet. */
function generate (next) {
  const pick = (list) => list[next(list.length)]
  const few = next(3) > 0 ? Array.from({ length: 1 + next(3) }, () => pick(NAMES)) : NAMES
  const key = () => {
    let text = pick(few)
    for (let depth = next(4) + (next(20) === 0 ? next(6) : 0); depth > 0; depth -= 1) {
      text += next(30) === 0 ? pick(['[', ']', '[[', ']]', '][']) : pick(OPEN) + pick(next(2) ? few : INNER) + pick(CLOSE)
    }
    return text
  }
  const parameter = () => {
    const odd = next(40)
    if (odd === 0) return pick(['', '=', '==', '&', '[]', '[]=', '=x', '[0]=x', '[a]=x', '[]=x', ']=[', '[=]'])
    return odd < 4 ? key() : `${key()}=${pick(VALUES)}`
  }
  return Array.from({ length: 1 + next(next(10) === 0 ? 40 : 7) }, parameter).join('&')
}

/** Those characters that a URL can not have, as an HTTP client would send them. */
const url = (text) => text.replace(/[^\x21-\x7e]/gu, encodeURIComponent).replaceAll('"', '%22').replaceAll('#', '%23')

async function ours (query) {
  const response = await fetch(`${gateway}/echo?${query}`)
  const json = await response.json()
  return response.ok ? JSON.stringify(json.query) : `${json.code} ${json.message.match(/`(.*)`/)?.[1]}`
}

/** What Express reads, where none of its limits makes another query of it; else what is to be said of it. */
function theirs (text) {
  const parameters = text.split('&').length
  if (parameters > PARAMETERS) return '400 gateway.query.parameters'
  const whole = { allowPrototypes: true, depth: DEPTH, parameterLimit: Infinity, strictDepth: true, arrayLimit: Infinity }
  const read = (settings) => JSON.stringify(qs.parse(text, { ...whole, ...settings }))
  let all
  try {
    all = read({})
  } catch {
    return '400 gateway.query.depth'
  }
  // Indices that mean a list with one setting and keys with another.
  if (hasGaps(qs.parse(text, { ...whole, allowSparse: true }))) return '400 gateway.query.sparse_index'
  if (all !== read({ arrayLimit: Math.max(SPARSE, parameters) })) return '400 gateway.query.sparse_index'
  const isShallow = all === read({ depth: 5, strictDepth: false })
  if (isShallow && parameters <= SPARSE) assert.equal(all, JSON.stringify(qs.parse(text, { allowPrototypes: true })))
  return all
}

/** Fails unless `seen` is what `theirs` says. What has a high index may be refused although both readings are the same. */
function agree (seen, text) {
  const expected = theirs(text)
  const highIndex = /(\[|%5b)(19|40|4294)(\]|%5d)/i
  if (seen !== '400 gateway.query.sparse_index' || !highIndex.test(text)) assert.equal(seen, expected, text)
  return seen.startsWith('400')
}

function hasGaps (value) {
  if (typeof value !== 'object' || value === null) return false
  const isSparse = Array.isArray(value) && Object.keys(value).length < value.length
  if (isSparse && value.length > SPARSE) return true
  return Object.values(value).some(hasGaps)
}

async function inParallel (items, compare) {
  const rest = items[Symbol.iterator]()
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (const item of rest) await compare(item)
  }))
}

test('generated query strings are read as qs reads them, with their keys in the same order', async (t) => {
  const next = random(SEED).int
  const texts = Array.from({ length: 20_000 }, () => url(generate(next)))
  let refused = 0
  await inParallel(texts, async (text) => {
    if (agree(await ours(text), text)) refused += 1
  })
  assert.ok(refused > 100 && refused < 3000, `${refused} are refused`)
  t.diagnostic(`compared ${texts.length} query strings, ${refused} of them refused (seed ${SEED})`)
})

test('what qs writes is read back, in all its ways of writing lists', async (t) => {
  const next = random(SEED + 1).int
  const value = (depth) => {
    const kind = depth === 0 ? 0 : next(4)
    if (kind < 2) return VALUES[next(VALUES.length)]
    if (kind === 2) return Array.from({ length: 1 + next(depth === 4 ? 40 : 5) }, () => value(0))
    return Object.fromEntries(Array.from({ length: 1 + next(4) }, () => [`${'zyxab$'[next(6)]}${next(100)}`, value(depth - 1)]))
  }
  let compared = 0
  await inParallel(Array.from({ length: 3000 }, () => ({ q: value(4), p: value(4) })), async (query) => {
    for (const arrayFormat of ['indices', 'brackets', 'repeat']) {
      const text = qs.stringify(query, { arrayFormat })
      // A list of one that is written like a scalar is one.
      if (arrayFormat !== 'repeat') assert.equal(await ours(text), JSON.stringify(query), text)
      else agree(await ours(text), text)
      compared += 1
    }
  })
  t.diagnostic(`compared ${compared} query strings that qs wrote`)
})

test('a limit of qs is no limit here, and what exceeds one of ours is refused by name', async (t) => {
  const list = (count, key) => Array.from({ length: count }, (_, n) => `${key.replace('#', n)}=${n}`).join('&')
  const items = (count) => Array.from({ length: count }, (_, n) => String(n))
  for (const key of ['n[$nin][]', 'n[$nin][#]', 'n[$nin]']) {
    for (const count of [20, 21, 100, 101, 999, 1000, 1001, 1500, 3000]) {
      assert.equal(await ours(list(count, key)), JSON.stringify({ n: { $nin: items(count) } }), `${count} of ${key}`)
    }
  }
  const nested = (depth) => `a${'[b]'.repeat(depth)}=x`
  for (const depth of [5, 6, 7, 31, 32]) {
    assert.equal(await ours(nested(depth)), JSON.stringify(qs.parse(nested(depth), { depth: 32 })), `${depth} brackets`)
  }
  assert.equal(await ours('$and[1][$or][0][store][$in][0]=a'), '{"$and":[{"$or":[{"store":{"$in":["a"]}}]}]}')
  for (const [text, key] of [
    [nested(33), 'depth'], [nested(1000), 'depth'],
    ['a&'.repeat(10_000), 'parameters'], ['&'.repeat(10_000), 'parameters'],
    ['a[20]=x', 'sparse_index'], ['a[2024]=x', 'sparse_index'], ['a[999999]=x', 'sparse_index'], ['a=y&a[500]=x', 'sparse_index']
  ]) {
    assert.equal(await ours(text), `400 gateway.query.${key}`, text.slice(0, 50))
  }
  t.diagnostic('compared 41 lists and depths')
})

test('forms are read by the same rules', async (t) => {
  const next = random(SEED + 2).int
  const texts = Array.from({ length: 4000 }, () => generate(next))
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  await inParallel(texts, async (body) => {
    const response = await fetch(`${gateway}/echo`, { method: 'POST', body, headers })
    const json = await response.json()
    const seen = response.ok ? JSON.stringify(json.data) : `${json.code} ${json.message.match(/`(.*)`/)?.[1]}`
    agree(seen, body)
  })
  t.diagnostic(`compared ${texts.length} forms (seed ${SEED + 2})`)
})
