// The programs of docker/compose.node.yaml: a gateway in Node.js, and a service with a replica in Rust and one in Node.js.
import assert from 'node:assert/strict'
import { cp, mkdir, rm } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { start } from '../../clients/lib/processes.mjs'
import { eventually } from '../lib/programs.mjs'

// Beside the packages that they import.
const folder = new URL('../node_modules/.example/', import.meta.url).pathname
const mesh = { DISTRIBUTION_NAMESPACE: 'example', HEARTBEAT_INTERVAL: '300ms', DISTRIBUTION__TTL: '2s', PORT: '0' }
const replica = { ...mesh, DISTRIBUTION_APP: 'greetings' }
const inNode = (name, ready, env) => start(process.execPath, [`${folder}${name}`], ready, { env })
const starts = {
  Rust: () => start(process.env.HELLO_BINARY, [], 'greetings are served', { env: replica }),
  'Node.js': () => inNode('greetings.mjs', 'greetings are served', replica)
}
const running = {}
let gateway, url

const greet = async (name) => {
  const reply = await fetch(`${url}/greetings/${name}`)
  return [reply.status, (await reply.json()).text]
}

before(async () => {
  await mkdir(folder, { recursive: true })
  await cp(new URL('../../../examples/node/', import.meta.url).pathname, folder, { recursive: true })
  gateway = await inNode('gateway.mjs', 'listening on ', mesh)
  url = gateway.said().match(/http:\S+/)[0]
  for (const [language, begin] of Object.entries(starts)) running[language] = await begin()
  await eventually('the gateway serves it', async () => (await fetch(`${url}/greetings/Ada`)).ok)
})

after(async () => {
  for (const program of [gateway, ...Object.values(running)]) await program?.stop('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

test('a service is served over REST, with its errors and the health of its replicas', async () => {
  assert.deepEqual(await greet('Ada'), [200, 'Hello, Ada!'])
  const created = await fetch(`${url}/greetings`, { method: 'POST', body: '{"name":"Bob"}', headers: { 'content-type': 'application/json' } })
  assert.deepEqual([created.status, await created.json()], [201, { text: 'Hello, Bob!' }])
  assert.equal((await fetch(`${url}/greetings/Ada`, { method: 'DELETE' })).status, 405)
  assert.deepEqual(await (await fetch(`${url}/distribution/healthcheck`)).json(), { greetings: true })
})

for (const [language, begin] of Object.entries(starts)) {
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    test(`the replica in ${language} ends by ${signal} and comes back, and every call is answered`, async () => {
      let going = true
      const replies = []
      const load = (async () => {
        for (let n = 0; going; n++) {
          replies.push(greet(n).then((reply) => assert.deepEqual(reply, [200, `Hello, ${n}!`])))
          await sleep(10)
        }
      })()
      await running[language].stop(signal)
      const answered = replies.length
      await eventually('calls go on', () => replies.length > answered + 50)
      running[language] = await begin()
      going = false
      await load
      await Promise.all(replies)
    })
  }
}
