// What a node and a gateway take when they do nothing and when they do a lot.
import { statSync } from 'node:fs'
import { gateway } from '../contestants.mjs'
import { program } from '../programs.mjs'
import { sleep } from '../stage.mjs'
import { wrk } from './http.mjs'

export const about = 'a node and a gateway at rest and under load, and the size of the binary'
export const contestants = ['rachis']
export const needs = ['wrk', 'rachis']
// What is counted over half a minute needs no median.
export const rounds = () => 1

export const rows = () => [
  { key: 'node memory', name: 'a node at rest: memory, MiB', targets: [{ most: 12 }] },
  { key: 'node cpu', name: 'a node at rest: CPU, % of a core', targets: [{ most: 0.1 }] },
  { key: 'node peak', name: 'a node under load: most memory, MiB' },
  { key: 'gateway memory', name: 'a gateway at rest: memory, MiB' },
  { key: 'gateway cpu', name: 'a gateway at rest: CPU, % of a core' },
  { key: 'gateway peak', name: 'a gateway under load: most memory, MiB' },
  { key: 'binary', name: 'size of the rachis binary, MiB' }
]

export async function measure (stage, _, { quick, seconds }) {
  const { url } = await stage.redis()
  const node = await stage.ready(program('mesh'), ['serve', '--redis', url])
  const face = await gateway(stage, url)
  // What starting left to do is over then.
  await sleep(3000)
  const time = quick ? 5000 : 30000
  const before = [node, face].map(one => one.usage())
  await sleep(time)
  const after = [node, face].map(one => one.usage())
  await wrk(stage, face.said.url, seconds)
  const cpu = at => (after[at].cpu - before[at].cpu) / time * 100
  return {
    'node memory': after[0].memory,
    'node cpu': cpu(0),
    'node peak': node.usage().peak,
    'gateway memory': after[1].memory,
    'gateway cpu': cpu(1),
    'gateway peak': face.usage().peak,
    binary: statSync(program('rachis')).size / 2 ** 20
  }
}
