// The same call over Socket.IO, by the official JavaScript client, whose one process is a limit of its own.
import { program } from '../programs.mjs'

export const about = 'Socket.IO calls, by 64 callers of the official client'
export const contestants = ['rachis', 'feathers', 'moleculer']
export const needs = ['peers', 'rachis']

const CALLERS = 64

export const rows = () => [
  { key: 'rate', name: `Socket.IO: calls/s, callers: ${CALLERS}` },
  { key: 'p50', name: `Socket.IO: p50 µs, callers: ${CALLERS}` },
  { key: 'p99', name: `Socket.IO: p99 µs, callers: ${CALLERS}` }
]

export async function measure (stage, contestant, { seconds }) {
  const service = await contestant.serve(stage)
  const words = ['socketio.mjs', await service.gateway(), contestant.socketio, CALLERS, seconds]
  const [figure] = await stage.figures('node', words, { cwd: program('peers') })
  return figure
}
