// Calls between two processes: the limit of the design, Rachis and its peers in turn, several rounds.
import { freePort, redis, start } from '../process.mjs'

export const CALLERS = [1, 16, 64, 256]

// Each contestant returns one figure for every number of callers.
export const contestants = programs => ({
  'limit, raw': () => limit(programs, 'raw'),
  'limit, redis-rs': () => limit(programs, 'rs'),
  Rachis: () => rachis(programs),
  'NATS (Rust clients)': programs.nats && (() => nats(programs)),
  'feathers-distributed 3.0 (direct TCP)': programs.peers && (() => feathersDistributed(programs)),
  'Moleculer 0.14 (Redis)': programs.peers && (() => moleculer(programs))
})

async function limit ({ limit, seconds }, client) {
  const port = await freePort()
  const run = start(limit, ['--port', port, '--seconds', seconds, '--client', client, '--mode', 'stream-ack', '--payload', '200'].map(String))
  const figures = []
  for (let line = await run.line(); line !== undefined; line = await run.line()) {
    const [name, , callers, rate, p50, p99] = line.trim().split(/\s+/)
    if (name === client) figures.push({ callers: Number(callers), rate: Number(rate), p50: Number(p50), p99: Number(p99), errors: 0 })
  }
  return figures
}

async function rachis ({ mesh, seconds }) {
  const server = await redis()
  const service = start(mesh, ['serve', '--redis', server.url])
  await service.figure()
  const figures = await start(mesh, ['call', '--redis', server.url, '--seconds', String(seconds)], { quiet: false }).figures()
  await service.stop()
  await server.stop()
  return figures
}

async function nats ({ nats, seconds }) {
  const port = await freePort()
  const server = start('nats-server', ['-a', '127.0.0.1', '-p', String(port)])
  const address = `nats://127.0.0.1:${port}`
  let service
  for (;;) {
    service = start(nats, ['serve', address])
    if (await service.figure()) break
  }
  const figures = await start(nats, ['call', address, String(seconds)]).figures()
  await service.stop()
  await server.stop()
  return figures
}

async function feathersDistributed ({ peers, seconds }) {
  const service = start('node', ['fd.mjs', 'service', String(await freePort())], { cwd: peers })
  await service.figure()
  const env = { SECONDS: String(seconds) }
  const figures = await start('node', ['fd.mjs', 'call', String(await freePort())], { cwd: peers, env }).figures()
  await service.stop()
  return figures
}

async function moleculer ({ peers, seconds }) {
  const server = await redis()
  const service = start('node', ['moleculer.mjs', 'service', server.url], { cwd: peers })
  await service.figure()
  const env = { SECONDS: String(seconds) }
  const figures = await start('node', ['moleculer.mjs', 'call', server.url], { cwd: peers, env }).figures()
  await service.stop()
  await server.stop()
  return figures
}
