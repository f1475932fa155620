// One of two replicas is killed under load.
import { program } from '../programs.mjs'

export const about = 'SIGKILL of one of two replicas: the next answer, node-down, and what it had in hand'
export const contestants = ['rachis']
// Each takes as long as a death takes to be noticed, and that hardly differs.
export const rounds = most => Math.min(most, 3)

export const rows = () => [
  { key: 'answered', name: 'killed → the next call answered: ms' },
  { key: 'down', name: 'killed → node-down: ms' },
  { key: 'settled', name: 'killed → the last call it had answered: ms' }
]

export async function measure (stage) {
  const { url } = await stage.redis()
  const [figure] = await stage.figures(program('mesh'), ['loss', '--redis', url])
  return figure
}
