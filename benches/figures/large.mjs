// Small calls while pages of a megabyte cross between the same two nodes.
import { program } from '../programs.mjs'

export const about = 'small calls, alone and beside 20 pages of 1 MB a second'
export const contestants = ['rachis']

export const rows = () => [
  { key: 'alone p50', name: 'small calls alone: p50 µs, callers: 16' },
  { key: 'beside p50', name: 'small calls beside pages: p50 µs, callers: 16' },
  { key: 'alone p99', name: 'small calls alone: p99 µs, callers: 16' },
  { key: 'beside p99', name: 'small calls beside pages: p99 µs, callers: 16' },
  { key: 'page', name: 'the slowest page beside small calls: ms' }
]

export async function measure (stage, _, { seconds }) {
  const { url } = await stage.redis()
  await stage.ready(program('mesh'), ['serve', '--redis', url])
  const [figure] = await stage.figures(program('mesh'), ['large', '--redis', url, '--seconds', seconds])
  const { alone, beside } = figure
  return {
    'alone p50': alone.p50,
    'beside p50': beside.p50,
    'alone p99': alone.p99,
    'beside p99': beside.p99,
    page: figure.slowest_page_ms,
    errors: alone.errors + beside.errors
  }
}
