// Replicas in JavaScript are killed again and again while calls go on.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { application, eventually } from '../lib/programs.mjs'

const options = { namespace: 'kills', config: { heartbeat_interval: '300ms', ttl: '2s' }, timeout: 60000 }
const KILLS = 5
const started = []

const start = async (key, services) => {
  const app = await application({ options: { ...options, key }, services })
  started.push(app)
  return app
}

after(() => Promise.all(started.map((app) => app.stop('SIGKILL'))))

test(`${KILLS} kills of replicas under load lose no call, and run none twice that must not be`, async () => {
  const replicas = [await start('jobs', { jobs: 'worker' }), await start('jobs', { jobs: 'worker' })]
  const client = await start('client')
  await eventually('the service is known', () => client.do('has', { path: 'jobs' }))
  const [reads, creations] = [[], []]
  let going = true
  const load = (async () => {
    while (going) {
      const n = creations.length
      reads.push(client.call('jobs', 'get', 2))
      creations.push(client.call('jobs', 'create', { n, ms: 2 }).then(() => 'done', ({ data, message }) => data?.outcome ?? message))
      await sleep(4)
    }
  })()
  for (let kill = 0; kill < KILLS; kill++) {
    await sleep(1000)
    const victim = replicas.shift()
    await victim.stop('SIGKILL')
    replicas.push(await start('jobs', { jobs: 'worker' }))
  }
  going = false
  await load
  const answers = await Promise.all(reads)
  assert.ok(answers.every(({ pid }) => pid > 0), 'every read is answered')
  const outcomes = await Promise.all(creations)
  const others = outcomes.filter((outcome) => outcome !== 'done' && outcome !== 'unknown')
  assert.deepEqual(others, [], 'of every creation it is known that it ran, or that nobody knows')
  const begun = started.flatMap(({ messages }) => messages.filter(({ began }) => began !== undefined).map(({ began }) => began))
  assert.equal(new Set(begun).size, begun.length, 'none was begun twice')
  assert.ok(begun.length > 100, `${begun.length} were begun`)
})
