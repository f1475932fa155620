// How soon other nodes know what is new and what is gone.
import { program } from '../programs.mjs'

export const about = 'a service comes and goes: when another node can call it, and when it knows'
export const contestants = ['rachis']

export const rows = () => [
  { key: 'callable p50', name: 'registered → answered elsewhere: p50 ms' },
  { key: 'callable p99', name: 'registered → answered elsewhere: p99 ms', targets: [{ most: 20 }] },
  { key: 'gone p99', name: 'taken away → known elsewhere: p99 ms' }
]

export async function measure (stage, _, { quick }) {
  const { url } = await stage.redis()
  const words = ['discovery', '--redis', url, '--count', quick ? 50 : 300]
  const [{ callable, gone }] = await stage.figures(program('mesh'), words)
  return { 'callable p50': callable.p50, 'callable p99': callable.p99, 'gone p99': gone.p99 }
}
