// Heads and framings that servers and proxies may read in different ways, compared with the server of Node.js: what it
// refuses is refused, and what it accepts is accepted, but for what docs/clients.md lists.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { after, before, test } from 'node:test'

const gateway = new URL(process.env.CONFORMANCE_URL)
let server

before(async () => {
  server = http.createServer((request, response) => request.resume().on('end', () => response.end()))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})

after(() => server.close())

const get = (headers, line = 'GET /echo HTTP/1.1') => `${line}\r\n${headers}\r\n`
const post = (headers, body) => `POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n${headers}\r\n\r\n${body}`
const chunks = '2\r\n{}\r\n0\r\n\r\n'

const alike = {
  'no host': get(''),
  'no host, absolute form': get('', 'GET http://a/echo HTTP/1.1'),
  'HTTP/1.0 without host': get('', 'GET /echo HTTP/1.0'),
  'an empty host': get('Host:\r\n'),
  'absolute form': get('Host: a\r\n', 'GET http://b/echo HTTP/1.1'),
  'a folded header': get('Host: a\r\nX: a\r\n b\r\n'),
  'a folded first header': get(' Host: a\r\nHost: a\r\n'),
  'a space before the colon': get('Host : a\r\n'),
  'a bare carriage return': get('Host: a\r\nX: b\rY: c\r\n'),
  'a bare carriage return at the end': 'GET /echo HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n',
  'a NUL': get('Host: a\r\nX: a\0b\r\n'),
  'a header without name': get('Host: a\r\n: b\r\n'),
  'a header without colon': get('Host: a\r\nX\r\n'),
  'an unknown version': get('Host: a\r\n', 'GET /echo HTTP/1.2'),
  'empty lines before': `\r\n\r\n${get('Host: a\r\n')}`,
  'a fragment': get('Host: a\r\n', 'GET /echo#x HTTP/1.1'),
  chunked: post('Transfer-Encoding: chunked', chunks),
  'chunked in capitals': post('Transfer-Encoding: CHUNKED', chunks),
  'chunked after a tab': post('Transfer-Encoding:\tchunked', chunks),
  identity: post('Transfer-Encoding: identity', chunks),
  'chunked, then a length': post('Transfer-Encoding: chunked\r\nContent-Length: 2', chunks),
  'a length, then chunked': post('Content-Length: 2\r\nTransfer-Encoding: chunked', chunks),
  'a length of all, then chunked': post('Content-Length: 12\r\nTransfer-Encoding: chunked', chunks),
  'a length of nothing, then chunked': post('Content-Length: 0\r\nTransfer-Encoding: chunked', chunks),
  'chunked twice': post('Transfer-Encoding: chunked, chunked', chunks),
  'chunked on two lines': post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', chunks),
  'chunked, then identity': post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', chunks),
  'something like chunked': post('Transfer-Encoding: xchunked', chunks),
  'chunked after a vertical tab': post('Transfer-Encoding:\x0bchunked', chunks),
  'chunked in quotes': post('Transfer-Encoding: "chunked"', chunks),
  'chunked with a parameter': post('Transfer-Encoding: chunked;a=b', chunks),
  'no encoding': post('Transfer-Encoding:', chunks),
  'an underscore': post('Transfer_Encoding: chunked\r\nContent-Length: 2', '{}'),
  'a length': post('Content-Length: 2', '{}'),
  'a length with a plus': post('Content-Length: +2', '{}'),
  'a negative length': post('Content-Length: -2', '{}'),
  'two lengths': post('Content-Length: 2\r\nContent-Length: 3', '{}'),
  'a list of lengths': post('Content-Length: 2, 2', '{}'),
  'a hexadecimal length': post('Content-Length: 0x2', '{}'),
  'a length with a zero': post('Content-Length: 02', '{}'),
  'a length with a space in it': post('Content-Length: 1 2', '{}'),
  'an empty length': post('Content-Length:', '{}'),
  'a huge length': post('Content-Length: 99999999999999999999999', '{}'),
  'a broken length': post('Content-Length: 2.0', '{}'),
  'a chunk with an extension': post('Transfer-Encoding: chunked', '2;a=b\r\n{}\r\n0\r\n\r\n'),
  'an extension with a line feed': post('Transfer-Encoding: chunked', '2;a\nb\r\n{}\r\n0\r\n\r\n'),
  'chunks with bare line feeds': post('Transfer-Encoding: chunked', '2\n{}\n0\n\n'),
  'a chunk with a plus': post('Transfer-Encoding: chunked', '+2\r\n{}\r\n0\r\n\r\n'),
  'a chunk with 0x': post('Transfer-Encoding: chunked', '0x2\r\n{}\r\n0\r\n\r\n'),
  'a space before a chunk': post('Transfer-Encoding: chunked', ' 2\r\n{}\r\n0\r\n\r\n'),
  'a chunk without its end': post('Transfer-Encoding: chunked', '2\r\n{}0\r\n\r\n'),
  'a huge chunk': post('Transfer-Encoding: chunked', 'fffffffffffffffff\r\n{}\r\n0\r\n\r\n'),
  trailers: post('Transfer-Encoding: chunked', '2\r\n{}\r\n0\r\nX: y\r\n\r\n')
}

// Node.js accepts these, or answers them in another way.
const refused = {
  'two hosts': get('Host: a\r\nHost: a\r\n'),
  'two different hosts': get('Host: a\r\nHost: b\r\n'),
  'a list of hosts': get('Host: a, b\r\n'),
  'a host with a space': get('Host: a b\r\n'),
  'a host with a user': get('Host: me@a\r\n'),
  'gzip, then chunked': post('Transfer-Encoding: gzip, chunked', chunks),
  'identity, then chunked': post('Transfer-Encoding: identity, chunked', chunks),
  'identity, then chunked on two lines': post('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked', chunks),
  'nothing, then chunked': post('Transfer-Encoding: , chunked', chunks),
  'chunked in HTTP/1.0': post('Transfer-Encoding: chunked', chunks).replace('1.1', '1.0'),
  'no version': get('Host: a\r\n', 'GET /echo'),
  'two spaces': get('Host: a\r\n', 'GET  /echo HTTP/1.1')
}

/** The statuses of what comes back in a while, or until the connection is closed. */
async function send (port, text) {
  const socket = net.connect(port, '127.0.0.1')
  let said = ''
  const quiet = setTimeout(() => socket.destroy(), 3000)
  socket.on('data', (chunk) => {
    said += chunk
    // An answer to a good request leaves the connection open.
    if (/^HTTP\/1.[01] 2/.test(said) && !/connection: close/i.test(said)) socket.end()
  })
  socket.on('error', () => {})
  socket.write(text, 'latin1')
  await once(socket, 'close')
  clearTimeout(quiet)
  return (said.match(/HTTP\/1\.[01] \d+/g) ?? []).map((line) => Number(line.slice(9)))
}

test('what Node.js refuses is refused, and what it accepts is accepted', async (t) => {
  for (const [name, text] of Object.entries(alike)) {
    const [[ours], [theirs]] = await Promise.all([gateway.port, server.address().port].map((port) => send(port, text)))
    assert.equal(ours < 300, theirs < 300, `${name}: ${ours}, ${theirs}`)
    if (theirs >= 400) assert.equal(ours, theirs, name)
  }
  t.diagnostic(`compared ${Object.keys(alike).length} framings`)
})

test('what means two things is refused, even where Node.js takes one of them', async (t) => {
  for (const [name, text] of Object.entries(refused)) {
    assert.deepEqual(await send(gateway.port, text), [400], name)
  }
  t.diagnostic(`compared ${Object.keys(refused).length} framings that are refused on purpose`)
})
