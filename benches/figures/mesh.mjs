// What a mesh of Rachis alone costs and how soon it knows things.
import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { redis, sleep, start, usage } from '../process.mjs'

const ask = (server, ...words) => execFileSync('redis-cli', ['-p', String(server.port), ...words], { encoding: 'utf8' })
const field = (text, name) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(text)?.[1] ?? 0)

export async function events ({ mesh }, nodes) {
  const server = await redis()
  const count = Math.round(40000 / Math.max(1, nodes / 2))
  const publisher = start(mesh, ['publish', '--redis', server.url, '--subscribers', nodes, '--count', count].map(String))
  await publisher.figure()
  const ears = start(mesh, ['subscribe', '--redis', server.url, '--nodes', nodes, '--count', count].map(String))
  const heard = await ears.figure()
  await publisher.stop()
  await server.stop()
  return { ...heard, expected: count * nodes }
}

export async function discovery ({ mesh }) {
  const server = await redis()
  const figure = await start(mesh, ['discovery', '--redis', server.url]).figure()
  await server.stop()
  return figure
}

export async function large ({ mesh, seconds }) {
  const server = await redis()
  const service = start(mesh, ['serve', '--redis', server.url])
  await service.figure()
  const figure = await start(mesh, ['large', '--redis', server.url, '--seconds', String(seconds)]).figure()
  await service.stop()
  await server.stop()
  return figure
}

// An idle mesh over some seconds, and what it costs when every node of it restarts.
export async function fleet ({ mesh }, nodes, watched = 30) {
  const server = await redis()
  const fleet = start(mesh, ['fleet', '--redis', server.url, '--nodes', String(nodes), '--restart'])
  const { seconds: start_seconds } = await fleet.figure()
  await sleep(8000)
  const commands = () => field(ask(server, 'INFO', 'stats'), 'total_commands_processed')
  const bytes = () => { const text = ask(server, 'INFO', 'stats'); return field(text, 'total_net_input_bytes') + field(text, 'total_net_output_bytes') }
  const before = { commands: commands(), bytes: bytes(), redis: usage(server.pid).cpu, fleet: usage(fleet.pid).cpu, at: Date.now() }
  await sleep(watched * 1000)
  const minutes = (Date.now() - before.at) / 60000
  const idle = {
    nodes,
    start_seconds,
    commands: (commands() - before.commands) / nodes / minutes,
    bytes: (bytes() - before.bytes) / nodes / minutes,
    redis_cpu: (usage(server.pid).cpu - before.redis) / (minutes * 60000),
    node_cpu: (usage(fleet.pid).cpu - before.fleet) / (minutes * 60000) / nodes,
    node_kib: usage(fleet.pid).memory / nodes
  }
  const cpu = usage(server.pid).cpu
  fleet.tell('restart\n')
  await fleet.figure()
  const restarted = await fleet.figure()
  idle.restart_redis_seconds = (usage(server.pid).cpu - cpu) / 1000
  idle.restart_seconds = restarted?.seconds
  await fleet.stop()
  await server.stop()
  return idle
}

// One gateway: how long from exec to its first answer, memory at rest and after load, size of the binary.
export async function gateway ({ rachis, mesh, seconds }) {
  const server = await redis()
  const service = start(mesh, ['serve', '--redis', server.url])
  await service.figure()
  const begun = performance.now()
  const run = start(mesh, ['gateway', '--redis', server.url])
  const { address } = await run.figure()
  await fetch(`http://${address}/echo/1`)
  const start_ms = performance.now() - begun
  await sleep(3000)
  const rest = usage(run.pid)
  await sleep(10000)
  const later = usage(run.pid)
  const load = start('wrk', ['-t1', '-c64', `-d${Math.max(1, Math.round(seconds))}`, `http://${address}/echo/1`])
  await load.end
  const loaded = usage(run.pid)
  await run.stop()
  await service.stop()
  await server.stop()
  return {
    start_ms, rest_kib: rest.memory, rest_cpu: (later.cpu - rest.cpu) / 10000, loaded_kib: loaded.memory, binary_bytes: statSync(rachis).size
  }
}
