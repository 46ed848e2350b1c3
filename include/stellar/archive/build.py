"""Generates the simulated sky into a folder, once, from a seed.

`build_archive(folder, seed=…, scale=…)` writes Parquet tables whose columns are the surveys' own (names, types,
units, UCDs: `stellar.archive.columns.TABLES[<table>]`), and .npy arrays of the bulky parts:

=======================  ==============================================================================================
file                     what it holds
=======================  ==============================================================================================
gaia_source.parquet      Gaia DR3 `gaiadr3.gaia_source`, sorted by source_id (level-12 pixel of an *early* position)
sdss_photoobj.parquet    SkyServer `PhotoObj` (modes 1 and 2, all types), halo field only, sorted by objID; `Star` is
                         type = 6 and mode = 1, `PhotoPrimary` mode = 1. Sentinel -9999.
sdss_specobj.parquet     SkyServer `SpecObj` with the columns of `sppParams` beside it (-9999 where the SSPP gave none;
                         rows of `sppParams` are those with TEFFADOP or SSPP_FLAG set), sorted by plate, mjd, fiberID
sdss_spectra.parquet     index (spec_row, plate, mjd, fiberID) into sdss_flux.npy, sdss_ivar.npy, sdss_model.npy
                         (float32 [n, 3840]) and sdss_mask.npy (uint8 codes); read them by `sdss_fits.spectrum_fits`
tic.parquet              MAST `Catalogs.Filtered.Tic` (positions are of epoch 2000)
tess_observations        MAST `Caom` observations of obs_collection HLSP, provenance TESS-SPOC (10-minute light curves):
      .parquet           one row, with one LC product, per star and sector: `dataURL` is the product's uri
                         `mast:HLSP/tess-spoc/s0042/target/…/hlsp_tess-spoc_tess_phot_<tic16>-s0042_tess_v1_lc.fits`,
                         `productFilename` its name, `size` its bytes, `obsid`/`obs_id` its keys
tess_lightcurves         index (lc_row, ticid, sector, dataURL) into tess_sap.npy, tess_pdcsap.npy (float32) and
      .parquet           tess_quality.npy (uint16) [n, cadences]; read them by `tess_fits.lightcurve_fits`
simbad_basic.parquet     SIMBAD TAP `basic`; `simbad_ident.parquet` is `ident`; `simbad_vartype.parquet` is `mesVar`
                         (its `vartyp` tells EA/EB/EW, RRAB/RRC and the like apart, which `otype` does not)
truth.parquet            what the stars really are, with every survey's ids; for tests, **never to be served**
archive.json             version, seed, scale, fields, row counts, SHA-256 of every file
=======================  ==============================================================================================

Files on the wire: `stellar.archive.sdss_fits.spectrum_fits(folder, plate, mjd, fiberid) -> bytes` and
`stellar.archive.tess_fits.lightcurve_fits(folder, product_uri_or_obs_id) -> bytes`; both raise KeyError for what does
not exist, and give the same bytes each time.

Labels of variability: `otype` EB* (all three shapes), RR*, dS*, RotV or BY*, Er*/Fl* (flare), SB/PM/`*` else;
`mesVar.vartyp` EA, EB, EW, RRAB, RRC, DSCT, BY/ROT, UV, SOLR (granulation; written `SRS`), CST (constant). About 3%
of the types are wrong, as in life.

The rates of rare classes are raised far above nature's, so that there is something to learn from; everything
else (luminosities, colours, motions, errors) follows the simple relations of `stars`, `population` and their kin.
"""
