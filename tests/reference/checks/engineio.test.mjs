// Requests of Engine.IO, compared with the package `engine.io` in its default settings.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { Server } from 'engine.io'

const gateway = new URL(process.env.CONFORMANCE_URL)
const PATH = '/socket.io/'
// Longer than anything takes that is answered.
const PATIENCE = 10_000
let server
let reference

before(async () => {
  server = createServer()
  new Server().attach(server, { path: PATH })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  reference = new URL(`http://127.0.0.1:${server.address().port}`)
})

after(() => {
  server.closeAllConnections()
  server.close()
})

/** The body in these chunks. */
function joined(chunks) {
  const parts = []
  for (let at = 0; ; ) {
    const start = chunks.indexOf('\r\n', at) + 2
    const length = parseInt(chunks.subarray(at, start).toString(), 16)
    if (!length) return Buffer.concat(parts)
    parts.push(chunks.subarray(start, start + length))
    at = start + length + 2
  }
}

/** Writes a request as it stands and reads one answer; `status` is 0 where the connection is closed without one. */
function raw(base, text) {
  const socket = connect(base.port, base.hostname)
  const answer = new Promise((resolve) => {
    let got = Buffer.alloc(0)
    const done = (ended) => {
      const end = got.indexOf('\r\n\r\n')
      if (end < 0) return ended && resolve({ status: 0, type: undefined, body: '' })
      const head = got.subarray(0, end).toString()
      const status = Number(head.split(' ')[1])
      const header = (name) => head.match(new RegExp(`^${name}: *(.*)$`, 'im'))?.[1].toLowerCase().replaceAll(' ', '')
      const chunked = header('transfer-encoding') === 'chunked'
      if (chunked && !ended && !got.toString().endsWith('\r\n0\r\n\r\n')) return
      const body = chunked ? joined(got.subarray(end + 4)) : got.subarray(end + 4)
      const length = chunked ? body.length : text.startsWith('HEAD') || status === 101 ? 0 : Number(header('content-length') ?? (ended ? body.length : NaN))
      if (!(body.length >= length) && !ended) return
      socket.destroy()
      resolve({ status, type: header('content-type'), body: body.subarray(0, length || 0).toString() })
    }
    socket.on('data', (chunk) => {
      got = Buffer.concat([got, chunk])
      done(false)
    })
    socket.on('error', () => done(true))
    socket.on('close', () => done(true))
    setTimeout(() => resolve({ status: 'silent' }), PATIENCE).unref()
  })
  socket.write(text)
  return answer
}

/** A request with its parameters, each a list of [name, value]. */
function request(base, { method = 'GET', query, headers = {}, body }) {
  const search = query.map(([name, value]) => `${name}=${value}`).join('&')
  const lines = Object.entries({ host: 'x', ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }), ...headers })
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return raw(base, `${method} ${PATH}?${search} HTTP/1.1\r\n${head}\r\n${body ?? ''}`)
}

const session = (sid) => [['EIO', '4'], ['transport', 'polling'], ['sid', sid]]

/** Opens a session and returns what its packet says. */
async function open(base) {
  const { body } = await request(base, { query: [['EIO', '4'], ['transport', 'polling']] })
  return JSON.parse(body.slice(1))
}

const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ=='
}
const without = (name) => Object.fromEntries(Object.entries(UPGRADE).filter(([key]) => key !== name))

const VERSIONS = [[], [['EIO', '4']], [['EIO', '3']], [['EIO', '5']], [['EIO', '']], [['EIO', '04']], [['EIO', '3'], ['EIO', '4']], [['%45IO', '%34']]]
const TRANSPORTS = [[], ...['', 'polling', 'websocket', 'webtransport', 'Polling', 'grpc', '%70olling', 'constructor', '0'].map((name) => [['transport', name]])]
const SESSIONS = [[], ...['', 'unknown', '__proto__', 'constructor', '%00'].map((sid) => [['sid', sid]])]
const HANDSHAKES = [
  {},
  UPGRADE,
  { ...UPGRADE, connection: 'keep-alive' },
  without('connection'),
  without('upgrade'),
  { ...UPGRADE, upgrade: 'h2c' },
  { ...UPGRADE, upgrade: 'WebSocket' },
  without('sec-websocket-key'),
  { ...UPGRADE, 'sec-websocket-key': 'short' },
  without('sec-websocket-version'),
  { ...UPGRADE, 'sec-websocket-version': '12' },
  { ...UPGRADE, 'sec-websocket-version': '8' }
]

const spoken = (query) => query.filter(([name]) => decodeURIComponent(name) === 'EIO').at(-1)?.[1]

/** What docs/clients.md lists as intended. */
function intended(query, theirs) {
  // Answered by 101, and then by a second answer that no client can read.
  if (theirs.status === 101 && !['4', '%34'].includes(spoken(query)) && query.some(([, value]) => value === 'websocket')) {
    return { status: 400, type: 'text/html', body: 'Unsupported protocol version' }
  }
  return theirs
}

test('every handshake is answered as by engine.io', async (t) => {
  const inputs = []
  for (const version of VERSIONS) {
    for (const transport of TRANSPORTS) {
      for (const sid of SESSIONS) {
        for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'HEAD']) {
          for (const headers of HANDSHAKES) {
            // Every pair of deviations, not every combination of all.
            const odd = [spoken(version) !== '4', transport[0]?.[1] !== 'polling', sid.length > 0, method !== 'GET', headers !== HANDSHAKES[0]]
            if (odd.filter(Boolean).length <= 3) inputs.push({ method, query: [...version, ...transport, ...sid], headers })
          }
        }
      }
    }
  }
  for (let start = 0; start < inputs.length; start += 16) {
    await Promise.all(
      inputs.slice(start, start + 16).map(async (input) => {
        const [ours, theirs] = await Promise.all([request(gateway, input), request(reference, input)])
        const expected = intended(input.query, theirs)
        if (expected.status === 200 && input.method === 'GET') {
          for (const answer of [ours, expected]) answer.body = answer.body.replace(/"sid":"[^"]+"/, '"sid":""')
        }
        assert.deepEqual(ours, expected, JSON.stringify(input))
      })
    )
  }
  t.diagnostic(`compared ${inputs.length} handshakes`)
})

/** Whether a session still takes packets. */
const lives = async (base, sid) => (await request(base, { method: 'POST', query: session(sid), body: '6' })).status === 200

/** What requests to an open session come to; each gets a session of its own. */
const EXCHANGES = {}
// Messages are such that Socket.IO, which engine.io does not know, takes.
for (const body of ['3', '6', '0', '5', '40', '3\u{1e}3', '6\u{1e}40', '60', '3x', '40/\u00e9,']) {
  EXCHANGES[`POST ${JSON.stringify(body)}`] = async (base, sid) => [await request(base, { method: 'POST', query: session(sid), body })]
}
for (const method of ['PUT', 'DELETE', 'PATCH', 'HEAD']) {
  EXCHANGES[method] = async (base, sid) => [await request(base, { method, query: session(sid) })]
}
for (const [name, query] of Object.entries({
  'another version': [['EIO', '3'], ['transport', 'polling']],
  'no version': [['transport', 'polling']],
  'no transport': [['EIO', '4']],
  'another transport': [['EIO', '4'], ['transport', 'websocket']],
  'an unknown transport': [['EIO', '4'], ['transport', 'grpc']]
})) {
  for (const method of ['GET', 'POST']) {
    EXCHANGES[`${method} with ${name}`] = async (base, sid) => [await request(base, { method, query: [...query, ['sid', sid]], body: method === 'POST' ? '3' : undefined })]
  }
}
for (const headers of HANDSHAKES.slice(3)) {
  EXCHANGES[`upgrade by ${JSON.stringify(headers)}`] = async (base, sid) => [await request(base, { query: [['EIO', '4'], ['transport', 'websocket'], ['sid', sid]], headers })]
}
EXCHANGES['POST of bytes'] = async (base, sid) => [
  await request(base, { method: 'POST', query: session(sid), headers: { 'content-type': 'application/octet-stream' }, body: '3' })
]
EXCHANGES['GET twice'] = async (base, sid) => {
  const answers = await Promise.all([request(base, { query: session(sid) }), request(base, { query: session(sid) })])
  return answers.sort((one, other) => one.status - other.status)
}
EXCHANGES['POST twice'] = async (base, sid) => {
  raw(base, `POST ${PATH}?${session(sid).map((pair) => pair.join('=')).join('&')} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n4`)
  let second
  do {
    second = await request(base, { method: 'POST', query: session(sid), body: '6' })
  } while (second.status === 200)
  return [second]
}
EXCHANGES['POST that is too large'] = async (base, sid) => [await request(base, { method: 'POST', query: session(sid), headers: { 'content-length': 1_000_001 }, body: '4'.repeat(1_000_001) })]
EXCHANGES['POST as large as allowed'] = async (base, sid) => [await request(base, { method: 'POST', query: session(sid), body: '6'.repeat(1_000_000) })]
EXCHANGES['GET after the client has closed'] = async (base, sid) => {
  const close = await request(base, { method: 'POST', query: session(sid), body: '1' })
  return [close, await request(base, { query: session(sid) })]
}
EXCHANGES['GET while the client closes'] = async (base, sid) => {
  const waiting = request(base, { query: session(sid) })
  await new Promise((resolve) => setTimeout(resolve, 200))
  const close = await request(base, { method: 'POST', query: session(sid), body: '1' })
  return [await waiting, close]
}
// engine.io cuts the connection: the session is over, and nobody reads why.
const CUT = ['x', '9', '', '3\u{1e}', '4x\u{1e}x', '2', '2probe']
for (const body of CUT) {
  EXCHANGES[`POST ${JSON.stringify(body)}, which is no packet of a client`] = async (base, sid) => {
    await request(base, { method: 'POST', query: session(sid), body })
    for (let tries = 0; tries < 20 && (await lives(base, sid)); tries += 1) await new Promise((resolve) => setTimeout(resolve, 50))
    return []
  }
}

test('every request of a session is answered as by engine.io, and ends or keeps it alike', async (t) => {
  for (const [name, exchange] of Object.entries(EXCHANGES)) {
    const seen = async (base) => {
      const { sid } = await open(base)
      const answers = await exchange(base, sid)
      return { answers, lives: await lives(base, sid) }
    }
    const [ours, theirs] = await Promise.all([seen(gateway), seen(reference)])
    assert.deepEqual(ours, theirs, name)
  }
  t.diagnostic(`compared ${Object.keys(EXCHANGES).length} exchanges`)
})

test('the handshake says the same of the session', async (t) => {
  const [ours, theirs] = await Promise.all([open(gateway), open(reference)])
  assert.deepEqual({ ...ours, sid: '' }, { ...theirs, sid: '' })
  assert.deepEqual(Object.keys(ours), Object.keys(theirs))
  t.diagnostic('compared 1 handshake')
})
