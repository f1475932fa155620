// What a node and a gateway take when they do nothing, how soon they do something, and how large they are.
import { statSync } from 'node:fs'
import { program } from '../programs.mjs'
import { sleep } from '../stage.mjs'
import { wrk } from './http.mjs'

export const about = 'a node and a gateway at rest and under load, start-up time, size of the binary'
export const contestants = ['rachis']
export const needs = ['wrk']
export const rounds = () => 1

export const rows = () => [
  { key: 'node memory', name: 'a node at rest: memory, MiB', targets: [{ most: 12 }] },
  { key: 'node cpu', name: 'a node at rest: CPU, % of a core', targets: [{ most: 0.1 }] },
  { key: 'node loaded', name: 'a node after load: memory, MiB' },
  { key: 'gateway memory', name: 'a gateway at rest: memory, MiB' },
  { key: 'gateway cpu', name: 'a gateway at rest: CPU, % of a core' },
  { key: 'gateway loaded', name: 'a gateway after load: memory, MiB' },
  { key: 'start', name: 'a gateway: start → first answer, ms' },
  { key: 'binary', name: 'size of the rachis binary, MiB' }
]

const MIB = 1024

export async function measure (stage, _, { quick, seconds }) {
  const { url } = await stage.redis()
  const node = await stage.ready(program('mesh'), ['serve', '--redis', url])
  const begun = performance.now()
  const words = ['gateway', '--json', '--redis', url, '--listen', '127.0.0.1:0']
  const gateway = await stage.ready(program('rachis'), words)
  const answer = await fetch(`${gateway.said.url}/echo/1`)
  const start = performance.now() - begun
  if (!answer.ok) throw new Error(`the gateway answers ${answer.status}`)
  await sleep(3000)
  const time = quick ? 5000 : 30000
  const rest = [node.usage(), gateway.usage()]
  await sleep(time)
  const [nodeCpu, gatewayCpu] = [node, gateway].map((one, at) => (one.usage().cpu - rest[at].cpu) / time * 100)
  await wrk(stage, gateway.said.url, seconds)
  return {
    'node memory': rest[0].memory / MIB,
    'node cpu': nodeCpu,
    'node loaded': node.usage().memory / MIB,
    'gateway memory': rest[1].memory / MIB,
    'gateway cpu': gatewayCpu,
    'gateway loaded': gateway.usage().memory / MIB,
    start,
    binary: statSync(program('rachis')).size / MIB / MIB
  }
}
