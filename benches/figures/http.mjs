// The same call over HTTP: wrk against a gateway whose service is another process.
import { freePort, redis, start } from '../process.mjs'

export const contestants = programs => ({
  'Rachis gateway': () => rachis(programs),
  'feathers-distributed gateway': programs.peers && (() => feathersDistributed(programs)),
  'moleculer-web': programs.peers && (() => moleculer(programs))
})

async function wrk (address, seconds) {
  const run = start('wrk', ['-t1', '-c64', `-d${Math.max(1, Math.round(seconds))}`, '--latency', `http://${address}/echo/1`])
  const text = []
  for (let line = await run.line(); line !== undefined; line = await run.line()) text.push(line)
  const all = text.join('\n')
  const us = (number, unit) => Math.round(Number(number) * { us: 1, ms: 1000, s: 1e6 }[unit])
  const at = share => { const [, number, unit] = new RegExp(`${share}%\\s+([\\d.]+)(us|ms|s)`).exec(all); return us(number, unit) }
  const bad = /Non-2xx or 3xx responses: (\d+)/.exec(all)
  return { rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(all)[1]), p50: at(50), p99: at(99), errors: bad ? Number(bad[1]) : 0 }
}

async function rachis ({ mesh, seconds }) {
  const server = await redis()
  const service = start(mesh, ['serve', '--redis', server.url])
  await service.figure()
  const gateway = start(mesh, ['gateway', '--redis', server.url])
  const { address } = await gateway.figure()
  const figure = await wrk(address, seconds)
  await gateway.stop()
  await service.stop()
  await server.stop()
  return figure
}

async function feathersDistributed ({ peers, seconds }) {
  const service = start('node', ['fd.mjs', 'service', String(await freePort())], { cwd: peers })
  await service.figure()
  const gateway = start('node', ['fd.mjs', 'gateway', String(await freePort())], { cwd: peers })
  const { address } = await gateway.figure()
  const figure = await wrk(address, seconds)
  await gateway.stop()
  await service.stop()
  return figure
}

async function moleculer ({ peers, seconds }) {
  const server = await redis()
  const service = start('node', ['moleculer.mjs', 'service', server.url], { cwd: peers })
  await service.figure()
  const gateway = start('node', ['moleculer.mjs', 'gateway', server.url, String(await freePort())], { cwd: peers })
  const { address } = await gateway.figure()
  const figure = await wrk(address, seconds)
  await gateway.stop()
  await service.stop()
  await server.stop()
  return figure
}
