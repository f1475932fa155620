// Queries and data of a described service, compared with @feathersjs/schema on Ajv: what is refused, which fields it is
// refused for, and what becomes of texts in a query.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Ajv, getValidator, querySyntax } from '@feathersjs/schema'
import addFormats from 'ajv-formats'
import qs from 'qs'
import { random } from '../lib/random.mjs'

const gateway = process.env.CONFORMANCE_URL
const SEED = Number(process.env.SEED ?? 20_261_130)
const COUNT = 3_000

const schema = JSON.parse(readFileSync(new URL('../../../examples/conformance/described.json', import.meta.url)))
// As the code that Feathers generates makes them, but that they tell of every field.
const FORMATS = ['date-time', 'date', 'time', 'email', 'uuid', 'ipv4']
const ofQueries = addFormats.default(new Ajv({ coerceTypes: true, allErrors: true }), FORMATS)
const ofData = addFormats.default(new Ajv({ allErrors: true }), FORMATS)
const queries = getValidator(
  { $id: 'Query', type: 'object', additionalProperties: false, properties: querySyntax(schema.properties) },
  ofQueries
)
const data = getValidator({ $id: 'Data', ...schema }, ofData)

const KNOWN = Object.keys(schema.properties)
const FIELDS = [...KNOWN, 'agee', 'toString']
const TEXTS = ['', '0', '1', '5', '-5', '5.5', '5.0', '1e2', '0x1f', ' 7 ', '+7', '.5', '5.', 'true', 'false', 'null', 'x', 'host', 'guest',
  'ab12', 'AB', '2026-11-30T10:00:00Z', '2026-11-30T10:00:00+01:00', '2026-11-30', '2026-02-30', '10:00:00Z', '25:00:00Z', 'ada@example.org',
  'ada@', '@b', 'a b@c.d', '0f8fad5b-d9cb-469f-a165-70867728950e', '0f8fad5b-d9cb-469f-a165', '127.0.0.1', '256.0.0.1', '01.2.3.4', '9007199254740993', 'NaN', '-', 'é', 'a'.repeat(21)]
const VALUES = [...TEXTS, 0, 1, 5, -5, 5.5, true, false, null, [], {}, ['a'], { a: 1 }]
const OPERATORS = ['$gt', '$gte', '$lt', '$lte', '$ne', '$in', '$nin', '$regex']

/** The fields an error of Ajv is about, as paths with dots. */
function fields (error) {
  const paths = (error.errors ?? error.data ?? []).map(({ instancePath, keyword, params }) => {
    const name = keyword === 'required' ? params.missingProperty : params.additionalProperty
    return [...instancePath.split('/').slice(1), ...(name === undefined ? [] : [name])].join('.')
  })
  return paths
}

async function theirs (validate, value) {
  try {
    return { value: await validate(structuredClone(value)) }
  } catch (error) {
    return { refused: fields(error) }
  }
}

async function ours (response) {
  const json = await response.json()
  if (response.ok) return { value: json.query, data: json.data }
  assert.equal(json.name, 'BadRequest', JSON.stringify(json))
  return { refused: Object.keys(json.errors ?? {}), json }
}

/** Of what Ajv tells, `anyOf` repeats itself for each branch: what counts is the field of the query, not the place in it. */
const tops = (paths) => [...new Set(paths.map((path) => path.split('.')[0]))].sort()

test('queries are refused and typed alike', async (t) => {
  const { int, pick, chance } = random(SEED)
  const condition = () => {
    if (chance(0.5)) return pick(TEXTS)
    const operator = pick(OPERATORS)
    return { [operator]: operator === '$in' || operator === '$nin' ? [pick(TEXTS), pick(TEXTS)] : pick(TEXTS) }
  }
  const branch = () => Object.fromEntries(Array.from({ length: 1 + int(2) }, () => [pick(FIELDS), condition()]))
  let compared = 0
  for (let n = 0; n < COUNT; n += 1) {
    const query = branch()
    if (chance(0.2)) query.$limit = pick(['0', '5', '-1', 'x'])
    if (chance(0.1)) query.$skip = pick(['0', '5'])
    if (chance(0.2)) query.$sort = { [pick(KNOWN)]: pick(['1', '-1', '2', 'x']) }
    if (chance(0.2)) query.$select = [pick(FIELDS)]
    if (chance(0.2)) query.$or = [branch(), branch()]
    const text = qs.stringify(query)
    const [expected, seen] = [await theirs(queries, qs.parse(text, { allowPrototypes: true })), await ours(await fetch(`${gateway}/described?${text}`))]
    compare(expected, seen, seen.value, text)
    compared += 1
  }
  t.diagnostic(`${compared} queries compared`)
})

test('data is refused for the same fields, and kept as it is', async (t) => {
  const { int, pick } = random(SEED + 1)
  let compared = 0
  for (let n = 0; n < COUNT; n += 1) {
    const record = Object.fromEntries(Array.from({ length: 1 + int(4) }, () => [pick(FIELDS), pick(VALUES)]))
    if (int(3) > 0) record.name = 'Ada'
    const body = JSON.stringify(record)
    const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body }
    const [expected, seen] = [await theirs(data, record), await ours(await fetch(`${gateway}/described`, request))]
    compare(expected, seen, seen.data, body)
    compared += 1
  }
  t.diagnostic(`${compared} records compared`)
})

function compare (expected, seen, value, input) {
  if (expected.refused === undefined) {
    assert.equal(seen.refused, undefined, `${input}: refused here only: ${JSON.stringify(seen.json)}`)
    assert.deepEqual(value, JSON.parse(JSON.stringify(expected.value)), input)
  } else {
    assert.ok(seen.refused, `${input}: refused there only, for ${expected.refused}`)
    assert.deepEqual(tops(seen.refused), tops(expected.refused), input)
  }
}
