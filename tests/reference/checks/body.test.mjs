// Bodies, compared with `express.json()` and `express.urlencoded({ extended: true })`, and with `koa-body` where Express
// reads nothing: what either accepts is accepted with the same data, and what neither accepts is refused.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { after, before, test } from 'node:test'
import zlib from 'node:zlib'
import express from 'express'
import iconv from 'iconv-lite'
import Koa from 'koa'
import { koaBody } from 'koa-body'
import { random } from '../lib/random.mjs'

const gateway = process.env.CONFORMANCE_URL
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 })
const servers = []
let expressUrl
let koaUrl

before(async () => {
  const app = express().use(express.json(), express.urlencoded({ extended: true }))
  app.post('/echo', ({ body }, response) => response.json({ data: body }))
  app.use((error, request, response, next) => response.status(error.status ?? 500).json({}))
  expressUrl = await listen(app)
  const koa = new Koa({ silent: true })
  koa.on('error', () => {})
  koa.use(koaBody()).use((ctx) => { ctx.body = { data: ctx.request.body } })
  koaUrl = await listen(koa.callback())
})

after(() => {
  agent.destroy()
  for (const server of servers) server.close()
})

async function listen (handler) {
  const server = http.createServer(handler).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return `http://127.0.0.1:${server.address().port}`
}

/** Posts bytes as they are; `fetch` would add headers of its own. */
async function post (url, { headers, bytes, chunked }) {
  const request = http.request(`${url}/echo`, { method: 'POST', agent, headers: { ...headers } })
  if (chunked) for (const byte of bytes) request.write(Buffer.of(byte))
  request.end(chunked ? undefined : bytes)
  const [response] = await once(request, 'response')
  const chunks = await response.toArray()
  const text = Buffer.concat(chunks).toString()
  return { status: response.statusCode, data: response.statusCode < 300 ? JSON.parse(text).data : undefined, text }
}

/** As JSON has it: no half surrogate pairs, no -0, an infinity is null. */
function plain (data) {
  return JSON.parse(JSON.stringify(data ?? {}).replace(/\\u(d[89a-f]..)/gi, '\\ufffd'))
}

/** Fails unless the gateway does what the packages do. `theirs` says which of them is followed. */
async function compare (input, theirs = expressUrl) {
  const [ours, reference] = await Promise.all([post(gateway, input), post(theirs, input)])
  const shown = `${JSON.stringify(input.headers)} ${input.bytes.toString('latin1').slice(0, 200)}`
  if (reference.status < 300) {
    assert.equal(ours.status, 201, `${shown}: ${ours.text}`)
    assert.deepEqual(plain(ours.data), plain(reference.data), shown)
  } else {
    assert.equal(ours.status, reference.status, `${shown}: ${ours.text}`)
  }
  return reference.status
}

const { pick, chance, int, string } = random(0x5eed)

/** JSON text, written in the ways there are, and now and then a little wrong. */
function json (depth = 0) {
  const space = () => pick(['', '', '', ' ', '\n', '\t', '\r\n', '  '])
  const list = (item) => Array.from({ length: int(4) }, item).join(`${space()},${space()}`)
  const member = () => `${quoted()}${space()}:${space()}${json(depth + 1)}`
  const kind = depth === 0 ? pick(['object', 'object', 'list']) : depth > 4 ? 'leaf' : pick(['object', 'list', 'leaf', 'leaf'])
  if (kind === 'object') return `{${space()}${list(member)}${space()}}`
  if (kind === 'list') return `[${space()}${list(() => json(depth + 1))}${space()}]`
  return pick([quoted, number, () => pick(['true', 'false', 'null'])])()
}

function number () {
  return pick([
    () => String(int(1000) - 500),
    () => String(Math.fround((int(1e9) - 5e8) / 7)),
    () => `${int(9) + 1}${string('0123456789', 30)}`,
    () => `-${int(10)}.${int(10)}${string('0123456789', 25)}`,
    () => `${int(10)}.${int(1e6)}${pick(['e', 'E'])}${pick(['', '+', '-'])}${int(300)}`,
    () => pick(['0', '-0', '-0.0', '1E5', '5e-324', '1e-400', '9007199254740993', '18446744073709551616', '1.7976931348623157e308'])
  ])()
}

function quoted () {
  const part = () => pick([
    () => string('abcxyz019 _$.-[]', 6),
    () => pick(['é', 'ß', '漢字', '😀', '\u2028', '\u007f', '\u0080', '\ufeff', '\ufffd']),
    () => pick(['\\n', '\\"', '\\\\', '\\/', '\\b', '\\f', '\\r', '\\t', '\\u0000', '\\u00e9', '\\u2028', '\\\\ud83d']),
    () => pick(['\\ud83d', '\\uDE00', '\\ud83d\\ude00', '\\ud83d\\ud83d\\ude00', '\\ude00\\ud83d', '\\uD83D\\n', '\\udbff\\udfff']),
    () => pick(['__proto__', 'constructor', 'toString', 'length'])
  ])()
  return `"${Array.from({ length: int(3) }, part).join('')}"`
}

/** Puts in, takes out or changes one character. */
function damaged (text) {
  const at = int(text.length + 1)
  const other = pick(['', '"', '{', '}', '[', ']', ',', ':', '\\', '\u0000', '\n', 'x', '0', "'", '\\u', '\\ud83', '/*', 'NaN'])
  return text.slice(0, at) + other + text.slice(at + int(2))
}

const odd = [
  '', ' ', '\n', 'null', 'true', '1', '-', '"a"', '"', 'NaN', 'Infinity', 'undefined', '{a:1}', "{'a':1}", '{"a":1,}', '[1,]',
  '[,]', '{"a":NaN}', '{"a":01}', '{"a":+1}', '{"a":.5}', '{"a":1.}', '{"a":0x1}', '{"a":1}{"b":2}', '{"a":1}]', '[1] x',
  '{"a":1,"a":2}', '{"a":{"b":1},"a":{"c":2}}', '{"b":1,"a":2,"b":3}', '// c\n{}', '{"a":"\u0001"}', '{"a":"\t"}',
  '\ufeff{"a":1}', '\ufeff', '\ufeff\ufeff{}', '\u00a0{}', '{}\u00a0', '\v{}', '{"":1}', '[[]]', '[{}]', '{"a":"\\x41"}',
  '{"a":"\\u12"}', `{"a":"${'x'.repeat(5000)}"}`, `${'['.repeat(100)}${']'.repeat(100)}`
]

test('JSON is read as express.json() reads it', async (t) => {
  let [compared, accepted] = [0, 0]
  const texts = [...odd, ...Array.from({ length: 500 }, () => json()), ...Array.from({ length: 250 }, () => damaged(json()))]
  for (const text of texts) {
    const input = { headers: { 'content-type': 'application/json' }, bytes: Buffer.from(text), chunked: chance(0.1) }
    if (await compare(input) < 300) accepted += 1
    compared += 1
  }
  assert.ok(accepted > 500 && accepted < compared - 100, `${accepted} accepted`)
  t.diagnostic(`compared ${compared} JSON texts, ${accepted} of them accepted`)
})

test('bytes are read as express.json() reads them', async (t) => {
  let compared = 0
  for (let n = 0; n < 150; n++) {
    const bytes = Buffer.from(`{"a":"${string('abcé漢😀', 8)}"}`)
    for (let times = int(3); times >= 0; times--) bytes[6 + int(bytes.length - 8)] = pick([0xff, 0xc3, 0x80, 0xe2, 0xed, 0xa0, 0xf0, 0x9f, 0x41])
    await compare({ headers: { 'content-type': 'application/json' }, bytes })
    compared += 1
  }
  t.diagnostic(`compared ${compared} texts that are not well encoded`)
})

test('charsets are those of express.json()', async (t) => {
  let compared = 0
  const names = ['utf-8', 'UTF-8', 'utf-16', 'UTF-16', 'utf-16le', 'utf-16be', 'utf-32', 'utf-32le', 'UTF-32BE']
  for (const name of names) {
    for (const addBOM of [false, true]) {
      for (let n = 0; n < 8; n++) {
        const text = n === 0 ? pick(odd) : json()
        const bytes = iconv.encode(text, name, { addBOM })
        const charset = pick([`charset=${name}`, `charset="${name}"`, `a=b;  CHARSET = ${name} ; x=y`, `charset=${name};charset=utf-8`])
        const headers = { 'content-type': `application/json; ${charset}` }
        // iconv-lite loses its way in UTF-32 that comes in pieces.
        await compare({ headers, bytes, chunked: !/32/.test(name) && chance(0.2) })
        compared += 1
      }
    }
  }
  // Names with one order of bytes, text in the other.
  for (const name of ['utf-16', 'utf-32']) {
    for (const order of ['le', 'be']) {
      await compare({ headers: { 'content-type': `application/json; charset=${name}` }, bytes: iconv.encode('{"a":"é"}', name + order) })
      compared += 1
    }
  }
  for (const name of ['iso-8859-1', 'windows-1252', 'latin1', 'gbk', 'shift_jis', 'x', '%']) {
    await compare({ headers: { 'content-type': `application/json; charset=${name}` }, bytes: Buffer.from('{"a":1}') })
    compared += 1
  }
  for (const name of ['utf8', 'us-ascii']) {
    await compare({ headers: { 'content-type': `application/json; charset=${name}` }, bytes: Buffer.from('{"a":"é"}') }, koaUrl)
    compared += 1
  }
  t.diagnostic(`compared ${compared} charsets`)
})

test('compressed bodies are read as both read them', async (t) => {
  let compared = 0
  const compress = {
    gzip: (bytes) => zlib.gzipSync(bytes, { level: int(10) }),
    deflate: (bytes) => zlib.deflateSync(bytes, { level: int(10) }),
    br: (bytes) => zlib.brotliCompressSync(bytes, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: int(12) } })
  }
  const send = async (coding, bytes, url) => {
    const headers = { 'content-type': 'application/json', 'content-encoding': coding }
    await compare({ headers, bytes, chunked: bytes.length < 500 && chance(0.3) }, url)
    compared += 1
  }
  for (const [coding, compressed] of Object.entries(compress)) {
    for (let n = 0; n < 20; n++) await send(pick([coding, coding.toUpperCase()]), compressed(Buffer.from(json())))
    const good = compressed(Buffer.from('{"a":"good enough to be cut"}'))
    for (const bad of [good.subarray(0, -1), good.subarray(0, 5), Buffer.from('{}'), Buffer.of(0)]) await send(coding, bad)
    await send(coding, compressed(Buffer.from('')))
    await send(coding, compressed(Buffer.alloc(102_401, ' ')))
    await send(coding, compressed(Buffer.alloc(10_000_000, ' ')))
    await send(coding, compressed(Buffer.from(`{"a":"${'b'.repeat(102_000)}"}`)))
  }
  // Two gzip bodies in a row are one; only zeros may follow.
  const two = [zlib.gzipSync('{"a":'), zlib.gzipSync('1}')]
  await send('gzip', Buffer.concat(two))
  await send('gzip', Buffer.concat([...two, Buffer.from('junk')]))
  await send('gzip', Buffer.concat([...two, Buffer.alloc(9)]))
  await send('deflate', Buffer.concat([zlib.deflateSync('{}'), Buffer.from('junk')]))
  await send('deflate', zlib.deflateRawSync('{"a":1}'))
  await send('identity', Buffer.from('{"a":1}'))
  for (const coding of ['compress', 'x-gzip', 'gzip, gzip', 'gzip, identity', '*', 'none']) await send(coding, Buffer.from('{"a":1}'))
  // Koa takes the one for the other.
  await send('deflate', zlib.gzipSync('{"a":1}'), koaUrl)
  await send('gzip', zlib.deflateSync('{"a":1}'), koaUrl)
  t.diagnostic(`compared ${compared} compressed bodies`)
})

test('types are those that express or koa-body reads, and every other +json', async (t) => {
  let compared = 0
  const send = async (type, text, url) => {
    const headers = type === undefined ? {} : { 'content-type': type }
    await compare({ headers, bytes: Buffer.from(text) }, url)
    compared += 1
  }
  for (const type of ['application/json', 'APPLICATION/JSON', ' application/json ', 'application/json;', 'application/json; x', 'application/json ; charset=']) {
    await send(type, '{"a":1}')
  }
  for (const type of ['application/json-patch+json', 'application/vnd.api+json', 'application/csp-report', 'application/reports+json']) {
    await send(type, '{"a":1}', koaUrl)
  }
  // Neither reads these; both would go on with no data.
  for (const type of [undefined, 'text/plain', 'text/json', 'application/jsonp', 'multipart/form-data; boundary=x', 'application/octet-stream', 'json', 'x', '/', 'application/json, application/json', 'application/xml']) {
    const headers = type === undefined ? {} : { 'content-type': type }
    const { status, text } = await post(gateway, { headers, bytes: Buffer.from('{"a":1}') })
    assert.equal(status, 415, `${type}: ${text}`)
    if (type) assert.ok(text.includes(type.split(';')[0]), text)
    await send(type, '')
    compared += 1
  }
  for (const type of ['application/merge-patch+json', 'application/scim+json', 'application/problem+json', 'application/ld+json; charset=utf-8', 'image/x+json']) {
    const { status, data } = await post(gateway, { headers: { 'content-type': type }, bytes: Buffer.from('{"a":1}') })
    assert.deepEqual([status, data], [201, { a: 1 }], type)
    compared += 1
  }
  t.diagnostic(`compared ${compared} types`)
})
