// CORS headers, compared with the package `cors` in its default settings behind Express.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import cors from 'cors'
import express from 'express'

const gateway = process.env.CONFORMANCE_URL
let reference
let server

before(async () => {
  const app = express().use(cors()).get('/echo', (_, response) => response.json({}))
  server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  reference = `http://127.0.0.1:${server.address().port}`
})

after(() => server.close())

test('a plain request gets the headers that cors() sends', async (t) => {
  const headers = { origin: 'https://app.example' }
  const [ours, theirs] = await Promise.all([gateway, reference].map((url) => fetch(`${url}/echo`, { headers })))
  for (const name of ['access-control-allow-origin', 'access-control-allow-credentials']) {
    assert.equal(ours.headers.get(name), theirs.headers.get(name), name)
  }
  t.diagnostic('compared 1 exchange')
})
