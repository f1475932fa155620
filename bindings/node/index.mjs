import distribution from './lib/index.js'

export default distribution
export const { initialize, finalize } = distribution
