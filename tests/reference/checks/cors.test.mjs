// CORS headers, compared with the package `cors` in front of Express, with the same origins, methods, headers and so on.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { test } from 'node:test'
import cors from 'cors'
import express from 'express'
import { conformance } from '../../clients/lib/processes.mjs'
import { random } from '../lib/random.mjs'

const { CONFORMANCE_BINARY: binary, CONFORMANCE_REDIS: redis } = process.env
const { pick, chance } = random(0xc025)

// What the gateway says where it is told nothing, and the package leaves out.
const defaults = { maxAge: 600, exposedHeaders: ['allow', 'location', 'idempotency-replayed', 'x-request-id', 'retry-after'] }

/** Settings of a gateway, and the options of the package that mean the same. */
const cases = {
  'any origin, as by default': [{}, defaults],
  'listed origins': [
    { CORS_ORIGINS: '["https://app.example", "http://localhost:3000", "null", "http://[::1]:8080"]' },
    { ...defaults, origin: ['https://app.example', 'http://localhost:3000', 'null', 'http://[::1]:8080'] }
  ],
  'origins that are written in another way': [
    { CORS_ORIGINS: '["HTTPS://App.Example/", "https://b.example:443", "http://c.example:80/", "http://[0:0::1]:8080"]' },
    { ...defaults, origin: ['https://app.example', 'https://b.example', 'http://c.example', 'http://[::1]:8080'] }
  ],
  'subdomains and any port': [
    { CORS_ORIGINS: '["https://*.app.example", "http://localhost:*"]' },
    { ...defaults, origin: [/^https:\/\/([a-z0-9_-]+\.)+app\.example$/, /^http:\/\/localhost(:\d+)?$/] }
  ],
  'credentials and lists of everything': [
    {
      CORS_ORIGINS: '["https://app.example"]', CORS_CREDENTIALS: 'true', CORS_HEADERS: '["X-A", "x-b"]',
      CORS_METHODS: '["GET", "POST"]', CORS_EXPOSED_HEADERS: '["X-Total"]', CORS_MAX_AGE: '2h'
    },
    {
      origin: ['https://app.example'], credentials: true, allowedHeaders: ['X-A', 'x-b'], methods: ['GET', 'POST'],
      exposedHeaders: [...defaults.exposedHeaders, 'X-Total'], maxAge: 7200
    }
  ],
  'no memory for what is allowed': [{ CORS_MAX_AGE: '0' }, { ...defaults, maxAge: 0 }],
  'no origins': [{ CORS_ORIGINS: '[]' }, undefined]
}

const origins = [
  undefined, 'https://app.example', 'https://a.app.example', 'https://a.b.app.example', 'https://evilapp.example',
  'https://app.example.evil.example', 'https://app.example:8443', 'http://app.example', 'https://b.example', 'http://c.example',
  'http://localhost:3000', 'http://localhost:5173', 'http://localhost', 'http://localhost.evil.example:3000', 'http://[::1]:8080',
  'null', 'file://', 'capacitor://localhost', 'https://app.example/', 'HTTPS://APP.EXAMPLE', 'https://.app.example', 'https://evil.example#.app.example'
]
const asked = [
  undefined, '', 'authorization', 'authorization,content-type', 'baggage,sentry-trace,x-tenant', 'X-Requested-With, x-b', '*', 'x-a'
]

function exchange () {
  const method = pick(['OPTIONS', 'OPTIONS', 'GET', 'HEAD', 'POST', 'DELETE'])
  const headers = {}
  const origin = pick(origins)
  if (origin !== undefined) headers.origin = origin
  if (method === 'OPTIONS' && chance(0.9)) headers['access-control-request-method'] = pick(['GET', 'PATCH', 'DELETE', 'PURGE'])
  const header = pick(asked)
  if (method === 'OPTIONS' && header !== undefined) headers['access-control-request-headers'] = header
  return { method, path: pick(['/echo', '/nowhere', '/readonly']), headers }
}

async function send (url, { method, path, headers }) {
  const request = http.request(url + path, { method, headers }).end()
  const [response] = await once(request, 'response')
  response.resume()
  await once(response, 'end')
  const said = Object.entries(response.headers).filter(([name]) => name.startsWith('access-control-'))
  const varies = (response.headers.vary ?? '').toLowerCase().split(',').map((name) => name.trim())
  return {
    ...Object.fromEntries(said),
    vary: varies.filter((name) => name === 'origin' || name === 'access-control-request-headers').sort(),
    status: method === 'OPTIONS' ? response.statusCode : undefined
  }
}

for (const [name, [settings, options]] of Object.entries(cases)) {
  test(`${name}: what the package says`, async (t) => {
    const app = express()
    if (options) app.use(cors(options))
    app.use((_, response) => response.json({}))
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const env = Object.fromEntries(Object.entries(settings).map(([key, value]) => [`DISTRIBUTION__GATEWAY__${key}`, value]))
    const gateway = await conformance(binary, redis, 'both', { env: { ...env, DISTRIBUTION_NAMESPACE: `cors-${server.address().port}` } })
    try {
      let allowed = 0
      for (let n = 0; n < 150; n++) {
        const request = exchange()
        const [ours, theirs] = await Promise.all([gateway.url, `http://127.0.0.1:${server.address().port}`].map((url) => send(url, request)))
        // Without CORS, an OPTIONS request is one like any other.
        if (!options) delete ours.status, delete theirs.status
        assert.deepEqual(ours, theirs, JSON.stringify(request))
        if (ours['access-control-allow-origin']) allowed += 1
      }
      assert.equal(allowed > 0, options !== undefined)
      t.diagnostic(`compared 150 exchanges (${name}), ${allowed} of them allowed`)
    } finally {
      server.close()
      await gateway.stop()
    }
  })
}
